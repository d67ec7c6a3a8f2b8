"""Layers that are traced in another form than they run in: recurrent ones, and slimmable products.

The networks' own loops over frames can only be traced for a given number of frames; here recurrent layers
are ONNX' GRU. What goes into and comes out of a slimmable product is marked, so that the export can give
each level its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.layers.recurrent import GroupedGRU
from sese.nn.policies.router import DiagonalGRU

ENTER, LEAVE = "Enter", "Leave"
"""Markers around a slimmable product, operators in the domain ``sese``; their attribute ``features`` is the
width of the rows there."""


def for_tracing(network: Any, many: bool) -> Any:
    """A copy of a network in the form in which it is traced, for one frame or for any number of them.

    A frame alone runs the grouped GRU's groups in one product; many are quicker in one operator a group.
    """
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, GroupedGRU) and many:
            vars(layer)["forward"] = partial(_grouped, layer)
        elif isinstance(layer, DiagonalGRU):
            vars(layer)["forward"] = partial(_diagonal, layer)
        elif isinstance(layer, SlimEncoderBlock | SlimDecoderBlock):
            vars(layer).update(_inner=_marked(layer._inner, ENTER), _outer=_marked(layer._outer, LEAVE))
    return network


def _marked(run: Callable[..., Tensor], marker: str) -> Callable[..., Tensor]:
    def marked(x: Tensor, *arguments: Any) -> Tensor:
        if marker == ENTER:
            return run(_mark(x, marker), *arguments)
        return _mark(run(x, *arguments), marker)

    return marked


def _mark(x: Tensor, marker: str) -> Tensor:
    return torch.onnx.ops.symbolic(
        f"sese::{marker}", (x,), {"features": x.shape[1]}, dtype=x.dtype, shape=x.shape, version=1
    )


def _grouped(layer: GroupedGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """As `GroupedGRU.forward`."""
    groups = list(x.transpose(0, 1).chunk(layer.groups, dim=2))
    lasts = []
    for index in range(layer.layers):
        pasts = hidden[:, index].chunk(layer.groups, dim=1)
        ends = []
        for group in range(layer.groups):
            weights = [
                getattr(layer, name)[index, group]
                for name in ("input_weight", "hidden_weight", "input_bias", "hidden_bias")
            ]
            groups[group], end = _gru(groups[group], pasts[group], *(weight.T for weight in weights))
            ends.append(end)
        lasts.append(torch.cat(ends, dim=1))
    return torch.cat(groups, dim=2).transpose(0, 1), torch.stack(lasts, dim=1)


def _diagonal(layer: DiagonalGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """As `DiagonalGRU.forward`."""
    recurrent = torch.diag_embed(layer.recurrent_weight).flatten(0, 1)
    bias = layer.input.bias
    y, last = _gru(x.transpose(0, 1), hidden, layer.input.weight, recurrent, bias, torch.zeros_like(bias))
    return y.transpose(0, 1), last


def _gru(
    x: Tensor, hidden: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, recurrent_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """One layer: x (frame, batch, input), hidden (batch, size) -> (frame, batch, size), next hidden.

    Matrices are (3 * size, input) with PyTorch's order of the gates: reset, update, new. ONNX has the first
    two the other way round.
    """
    reordered = []
    for matrix in (weight, recurrent, bias, recurrent_bias):
        reset, update, new = matrix.chunk(3, dim=0)
        reordered.append(torch.cat([update, reset, new]))
    weight, recurrent = (matrix.unsqueeze(0) for matrix in reordered[:2])
    biases = torch.cat([matrix.flatten() for matrix in reordered[2:]]).unsqueeze(0)
    frames, batch, size = x.shape[0], x.shape[1], hidden.shape[1]
    y, last = torch.onnx.ops.symbolic_multi_out(
        "GRU",
        (x, weight, recurrent, biases, None, hidden.unsqueeze(0)),
        {"hidden_size": size, "linear_before_reset": 1},
        dtypes=(x.dtype, x.dtype),
        shapes=((frames, 1, batch, size), (1, batch, size)),
    )
    return y.squeeze(1), last.squeeze(0)
