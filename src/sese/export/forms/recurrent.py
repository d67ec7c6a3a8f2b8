"""GRUs in the form in which they are traced: ONNX' GRU, for any number of frames."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.layers.dynamic import DynamicGRU
from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.layers.slim import BandGRU
from sese.nn.policies.router import DiagonalGRU

FEW_GROUPS = 2
"""Up to this number an operator for each group is quicker than one product for all, also for one frame."""


def _grouped(layer: GroupedGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `GroupedGRU.forward` by an operator for each group of each layer."""
    count = layer.layers * layer.groups
    groups = list(x.transpose(0, 1).chunk(layer.groups, dim=2))
    states = hidden.reshape(-1, count, layer.size).transpose(0, 1).chunk(count)
    weights, recurrents = (
        _reordered(matrix.flatten(0, 1).transpose(1, 2)).chunk(count)
        for matrix in (layer.input_weight, layer.hidden_weight)
    )
    halves = [_reordered(bias.flatten(0, 2)) for bias in (layer.input_bias, layer.hidden_bias)]
    biases = torch.cat(halves, dim=1).chunk(count)
    ends = []
    for at in range(count):
        group = at % layer.groups
        groups[group], end = _gru(groups[group], states[at], weights[at], recurrents[at], biases[at])
        ends.append(end)
    after = torch.cat(ends).transpose(0, 1).reshape(-1, layer.layers, layer.groups * layer.size)
    return torch.cat(groups, dim=2).transpose(0, 1), after


def _dynamic(
    layer: DynamicGRU, y: Tensor, count: int, state: Tensor | None = None, mask: Tensor | None = None
) -> Any:
    """Compute `DynamicGRU._along_bands` (without a state) or `DynamicGRU._along_time`.

    All groups run in one operator, with zeros in the weights between them: steps are many, and products
    small.
    """
    assert mask is None
    width = count * layer.size
    order = torch.tensor([1, 0, 2])  # PyTorch's gates are reset, update, new; ONNX' have update first

    def apart(weight: Tensor) -> Tensor:
        """Put the groups' matrices on a diagonal.

        (group, direction, 3 * unit, unit) -> (direction, 3 * group * unit, group * unit).
        """
        gates = weight[:count].unflatten(2, (3, -1)).index_select(2, order).permute(1, 2, 0, 3, 4)
        blocks = gates.unsqueeze(4) * torch.eye(count).view(count, 1, count, 1)
        return blocks.reshape(-1, 3 * width, width)

    def joined(bias: Tensor) -> Tensor:
        """Join the groups: (group, direction, 3 * unit) -> (direction, 3 * group * unit)."""
        gates = bias[:count].unflatten(2, (3, -1)).index_select(2, order)
        return gates.permute(1, 2, 0, 3).reshape(-1, 3 * width)

    weights, recurrents = apart(layer.input_weight), apart(layer.hidden_weight)
    bias = torch.cat([joined(layer.input_bias), joined(layer.hidden_bias)], dim=1)
    batch, frames, bands, _ = y.shape
    if state is None:
        rows = y.flatten(0, 1).transpose(0, 1)
        made = _both_ways(rows, weights, recurrents, bias)  # (band, direction, row, group * unit)
        made = made.view(bands, 2, -1, count, layer.size).permute(2, 0, 3, 1, 4)
        return made.reshape(batch, frames, bands, 2 * width)
    rows = y.transpose(0, 1).flatten(1, 2)
    made, last = _gru(rows, state.reshape(1, -1, width), weights, recurrents, bias)
    return made.reshape(frames, batch, bands, width).transpose(0, 1), last.view(batch, bands, width)


def _diagonal(layer: DiagonalGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `DiagonalGRU.forward`."""
    y, last = _gru(x.transpose(0, 1), hidden.unsqueeze(0), *_diagonal_weights(layer))
    return y.transpose(0, 1), last.squeeze(0)


def diagonal_step(layer: DiagonalGRU, x: Tensor, hidden: Tensor) -> Tensor:
    """Compute `DiagonalGRU.forward` for one frame: the next hidden state, all (batch, channel)."""
    return _gru(x.unsqueeze(0), hidden.unsqueeze(0), *_diagonal_weights(layer))[1].squeeze(0)


def _diagonal_weights(layer: DiagonalGRU) -> tuple[Tensor, Tensor, Tensor]:
    """Return the arguments `weight`, `recurrent` and `bias` of `_gru`."""
    bias = layer.input.bias.unsqueeze(0)
    return (
        _reordered(layer.input.weight.unsqueeze(0)),
        _reordered(torch.diag_embed(layer.recurrent_weight).flatten(0, 1).unsqueeze(0)),
        torch.cat([_reordered(bias), torch.zeros_like(bias)], dim=1),
    )


def _band_gru(layer: BandGRU, x: Tensor, hidden: int, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `BandGRU.forward`; the last product adds to the stream, in one operator."""
    input_weight, hidden_weight, *biases = (weight.unsqueeze(0) for weight in layer.weights(hidden))
    bias = torch.cat([_reordered(bias) for bias in biases], dim=1)
    before = state.transpose(0, 1)
    start = before[..., :hidden].reshape(1, -1, hidden)
    rows = layer.norm(x).flatten(1, 2)
    h, last = _gru(rows, start, _reordered(input_weight), _reordered(hidden_weight), bias)
    last = last.view(layer.bands, -1, hidden)
    if hidden < layer.size:
        last = torch.cat([last, before[..., hidden:]], dim=2)
    made = torch.addmm(x.flatten(0, 2), h.reshape(-1, hidden), layer.out_weight[:hidden])
    return made.view(x.shape), last.transpose(0, 1)


def _reordered(gates: Tensor) -> Tensor:
    """Turn the gates on axis 1 from PyTorch's order (reset, update, new) to ONNX' (update, reset, new)."""
    reset, update, new = gates.chunk(3, dim=1)
    return torch.cat([update, reset, new], dim=1)


def _both_ways(x: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """Run one layer in both directions, from zeros.

    Args:
        x: (frame, batch, input).
        weight, recurrent, bias: as for `_gru`, for each direction.

    Returns:
        (frame, direction, batch, size).
    """
    size = recurrent.shape[2]
    return torch.onnx.ops.symbolic(
        "GRU",
        (x, weight, recurrent, bias),
        {"hidden_size": size, "linear_before_reset": 1, "direction": "bidirectional"},
        dtype=x.dtype,
        shape=(x.shape[0], 2, x.shape[1], size),
    )


def _gru(x: Tensor, hidden: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Run one layer of one group.

    Args:
        x: (frame, batch, input).
        hidden: (1, batch, size).
        weight, recurrent: (1, 3 * size, input or size), gates in ONNX' order.
        bias: (1, 6 * size), of the two matrices.

    Returns:
        (frame, batch, size), and the next hidden state.
    """
    frames, batch, size = x.shape[0], x.shape[1], hidden.shape[2]
    y, last = torch.onnx.ops.symbolic_multi_out(
        "GRU",
        (x, weight, recurrent, bias, None, hidden),
        {"hidden_size": size, "linear_before_reset": 1},
        dtypes=(x.dtype, x.dtype),
        shapes=((frames, 1, batch, size), (1, batch, size)),
    )
    return (last if isinstance(frames, int) and frames == 1 else y.squeeze(1)), last


def _grouped_form(layer: GroupedGRU, many: bool) -> dict[str, Any]:
    if many or layer.groups <= FEW_GROUPS:
        return {"forward": partial(_grouped, layer)}
    return {}


FORMS: dict[type[nn.Module], Form] = {
    GroupedGRU: _grouped_form,
    DynamicGRU: replaced_by(_along_bands=_dynamic, _along_time=_dynamic),
    DiagonalGRU: replaced_by(forward=_diagonal),
    BandGRU: replaced_by(forward=_band_gru),
}
