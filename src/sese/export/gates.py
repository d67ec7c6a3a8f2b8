"""Gates in the exported graph: the closed channels of a block are left out.

A block that gates decide on is traced as one marker, which is then replaced by operators of ONNX that leave
the work out. One decision a frame holds for the whole batch, the channels of a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx
from onnx import helper
from torch import Tensor

from sese.export.forms.convolutions import GATED
from sese.export.graph import Initializers, Scope
from sese.nn.parts import Gate, Policy


@dataclass(frozen=True)
class Gated:
    """Names of the inputs of a marker, and the slope of its activation.

    Attributes:
        windows: (batch, hidden, kernel), the windows of the depthwise convolution.
        mask: (1, 1, unit), true where a unit is kept.
        taps: (hidden, 1, kernel), its weights.
        scale, shift: (hidden,), of the norm.
        weight: (hidden, channel), of the way back to the stream.
        slope: slope of the PReLU below zero.
    """

    windows: str
    mask: str
    taps: str
    scale: str
    shift: str
    weight: str
    slope: float


Way = Callable[[Scope, Gated, Mapping[str, int]], str]
"""Function that adds the nodes in the place of a marker: (scope, inputs, attributes) -> name of the result
(batch, channel)."""


def gather(scope: Scope, names: Gated, sizes: Mapping[str, int]) -> str:
    """Run the kept channels only: gather their windows and their rows of the weights."""
    mask = names.mask
    if sizes["group"] > 1:
        shape = scope.constant([sizes["hidden"] // sizes["group"], sizes["group"]])
        mask = scope.add("Expand", scope.add("Reshape", mask, scope.constant([-1, 1])), shape)
    mask = scope.add("Reshape", mask, scope.constant([-1]))
    taps = scope.add("Squeeze", names.taps, scope.constant([1]))  # folded when the file is opened
    windows = scope.add("Compress", names.windows, mask, axis=1)
    taps, scale, shift, weight = (
        scope.add("Compress", value, mask, axis=0) for value in (taps, names.scale, names.shift, names.weight)
    )
    kept = replace(names, scale=scale, shift=shift)
    return scope.add("MatMul", activated(scope, kept, scope.add("Mul", windows, taps)), weight)


def activated(scope: Scope, names: Gated, products: str) -> str:
    """Add what follows the depthwise products: (batch, channel, tap) -> (batch, channel)."""
    h = scope.add("ReduceSum", products, scope.constant([2]), keepdims=0)
    h = scope.add("LeakyRelu", h, alpha=names.slope)  # ONNX Runtime's PRelu takes ten times as long
    return scope.add("Add", scope.add("Mul", h, names.scale), names.shift)


def joint_gate(policy: Policy, level: Tensor | None) -> Gate:
    """Return a gate that decides once for the whole batch; frames with a level keep everything.

    Args:
        policy: decides inside the backbone.
        level: (frame,) integers, below 0 where there is none; None where the policy decides on all frames.
    """

    def gate(block: int, x: Tensor) -> Tensor:
        opened = policy.joint_gate(block, x)
        return opened if level is None else opened | (level >= 0).view(1, -1, 1)

    return gate


def open_gates(traced: onnx.GraphProto, way: Way = gather) -> onnx.GraphProto:
    """Return a traced network in which operators that leave closed channels out replace the markers."""
    scope = Scope(traced.name, Initializers("gate"), {})
    for node in traced.node:
        if node.op_type == GATED:
            sizes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            names: list[Any] = [*node.input, sizes.pop("slope")]
            made = way(scope, Gated(*names), sizes)
            scope.take(helper.make_node("Identity", [made], list(node.output)))
        else:
            scope.take(node)
    weights = [*traced.initializer, *scope.initializers.tensors, *scope.own.tensors]
    return helper.make_graph(scope.nodes, traced.name, traced.input, traced.output, weights)
