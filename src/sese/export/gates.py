"""Gates in the exported graph: a block's closed channels are left out of what runs.

A block that gates decide on is traced as one operator, which is then replaced by the operators of ONNX that
leave the work out. One decision a frame serves the whole batch, the channels of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor

from sese.export.graph import Initializers, Scope
from sese.nn.layers.temporal_block import TemporalBlock
from sese.nn.policies.channel_gates import ChannelGates

GATED = "Gated"
"""Operator in the domain ``sese``: the depthwise products of a frame and the way back to the stream, of the
channels that a mask keeps. Its attribute ``group`` is the number of channels that share a gate."""


@dataclass(frozen=True)
class Gated:
    """Names of what goes into a gated operator.

    Attributes:
        windows: (batch, hidden, kernel), what the depthwise convolution sees.
        mask: (1, 1, unit), true where a unit is kept.
        taps: (hidden, 1, kernel) its weights.
        slope: (1,) of the PReLU.
        scale, shift: (hidden,) of the norm.
        weight: (hidden, channel) of the way back.
    """

    windows: str
    mask: str
    taps: str
    slope: str
    scale: str
    shift: str
    weight: str


Way = Callable[[Scope, Gated, Mapping[str, int]], str]
"""Adds the nodes for a gated operator with these attributes; returns the name of (batch, channel)."""


def gather(scope: Scope, names: Gated, sizes: Mapping[str, int]) -> str:
    """Run the kept channels alone: their windows and their rows of the weights are gathered."""
    mask = names.mask
    if sizes["group"] > 1:
        shape = scope.constant([sizes["hidden"] // sizes["group"], sizes["group"]])
        mask = scope.add("Expand", scope.add("Reshape", mask, scope.constant([-1, 1])), shape)
    mask = scope.add("Reshape", mask, scope.constant([-1]))
    taps = scope.add("Squeeze", names.taps, scope.constant([1]))  # carried out at opening
    windows, taps = (
        scope.add("Compress", names.windows, mask, axis=1),
        scope.add("Compress", taps, mask, axis=0),
    )
    h = scope.add("ReduceSum", scope.add("Mul", windows, taps), scope.constant([2]), keepdims=0)
    scale, shift = (scope.add("Compress", value, mask, axis=0) for value in (names.scale, names.shift))
    h = scope.add("Add", scope.add("Mul", scope.add("PRelu", h, names.slope), scale), shift)
    return scope.add("MatMul", h, scope.add("Compress", names.weight, mask, axis=0))


def gates_for_tracing(model: Any, many: bool) -> None:
    """Put blocks and gates of a network into the form in which they are traced."""
    for layer in model.modules():
        if isinstance(layer, TemporalBlock):
            vars(layer)["_sliced"] = partial(_masked if many else _gated, layer)


def decide_together(gates: ChannelGates, level: Tensor | None) -> None:
    """Let gates decide for a batch as one, true where a unit is kept; frames with a level keep everything.

    Args:
        gates: of a network that is traced.
        level: (frame,) integers, below 0 where there is none; None where all frames are the gates'.
    """

    def forward(block: int, x: Tensor) -> Tensor:
        hidden = torch.relu(gates.inward[block](x)).mean(0, keepdim=True)
        opened = gates.outward[block](hidden) > 0  # at the mean of the scores, as they are linear in these
        return opened if level is None else opened | (level >= 0).view(1, -1, 1)

    vars(gates)["forward"] = forward


def _masked(block: TemporalBlock, joined: Tensor, mask: Tensor) -> Tensor:
    """As `TemporalBlock._sliced`: in a call with many frames nearly every channel runs in one of them."""
    return block._masked(joined, mask, mask.shape[0], mask.shape[1])


def _gated(block: TemporalBlock, joined: Tensor, mask: Tensor) -> Tensor:
    """As `TemporalBlock._sliced` for one frame."""
    norm = block.out_norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    made = torch.onnx.ops.symbolic(
        f"sese::{GATED}",
        (
            joined[:, :: block.dilation].transpose(1, 2),
            mask[:1],
            block.depthwise_weight,
            block.out_slope.weight,
            scale,
            norm.bias - norm.running_mean * scale,
            block.out_weight,
        ),
        {"group": block.group, "hidden": block.hidden, "channels": block.channels},
        dtype=joined.dtype,
        shape=(joined.shape[0], block.channels),
        version=1,
    )
    return made.unsqueeze(1)


def open_gates(traced: onnx.GraphProto, way: Way = gather) -> onnx.GraphProto:
    """A traced network whose gated operators are replaced by others that leave the closed channels out."""
    scope = Scope(traced.name, Initializers("gate"), {})
    for node in traced.node:
        if node.op_type == GATED:
            sizes = {attribute.name: attribute.i for attribute in node.attribute}
            made = way(scope, Gated(*node.input), sizes)
            scope.take(helper.make_node("Identity", [made], list(node.output)))
        else:
            scope.take(node)
    weights = [*traced.initializer, *scope.initializers.tensors, *scope.own.tensors]
    return helper.make_graph(scope.nodes, traced.name, traced.input, traced.output, weights)
