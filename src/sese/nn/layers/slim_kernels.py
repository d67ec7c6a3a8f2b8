"""C kernels for the training of DEMUCS: what lies between the products of its blocks, and its recurrences.

Rows of blocks are in bfloat16 and contiguous; biases, masks and their gradients are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sese.nn.layers.kernels import run

AT_ONCE = 4
"""Rows that a recurrence runs together, as in `slim_kernels.c`."""


@dataclass(frozen=True)
class Mask:
    """A mask of hidden units.

    Attributes:
        kept: (frame, part) of 0/1, or relaxed, float32; each frame has the same number of rows.
        ends: number of units of the first part, of the first two parts, and so on.
    """

    kept: Tensor
    ends: tuple[int, ...]


def relu_mask(h: Tensor, bias: Tensor, mask: Mask) -> Tensor:
    """Add a bias (unit,) to h (row, unit) and replace negative values by 0, in place.

    Returns:
        h times the mask.
    """
    masked = torch.empty_like(h)
    run("relu_mask", h, bias, *_parts(mask, h.shape[1]), masked, *_sizes(h, mask))
    return masked


def relu_mask_backward(slope: Tensor, h: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
    """Apply the backward pass of `relu_mask` to a gradient (row, unit), in place.

    Returns:
        The gradients of the bias (unit,) and of the mask (frame, part).
    """
    dbias, dmask = torch.zeros(h.shape[1]), torch.empty_like(mask.kept)
    run("relu_mask_backward", slope, h, *_parts(mask, h.shape[1]), dbias, dmask, *_sizes(h, mask))
    return dbias, dmask


def gate(both: Tensor, bias: Tensor, mask: Mask | None) -> Tensor:
    """Return value * sigmoid(gate) * mask (row, unit) of values and gates (row, 2 * unit) with a bias."""
    y = both.new_empty(len(both), both.shape[1] // 2)
    run("gate", both, bias, *_parts(mask, y.shape[1]), y, *_sizes(y, mask))
    return y


def gate_backward(
    both: Tensor, bias: Tensor, mask: Mask | None, slope: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients of `gate`'s arguments, given that of its result."""
    dboth, dbias = torch.empty_like(both), torch.zeros_like(bias)
    dmask = None if mask is None else torch.empty_like(mask.kept)
    given = both, bias, *_parts(mask, slope.shape[1]), slope
    run("gate_backward", *given, dboth, dbias, dmask, *_sizes(slope, mask))
    return dboth, dbias, dmask


def overlap(halves: Tensor, bias: Tensor, tail: Tensor, relu: bool) -> Tensor:
    """Add the second half of each frame to the first half of the next one, and a bias.

    Args:
        halves: (row, frame, 2 * value).
        bias: (value,).
        tail: (row, value) in bfloat16, the second half before the first frame.
        relu: whether negative results become 0.

    Returns:
        (row, frame, value).
    """
    rows, frames, width = halves.shape
    y = halves.new_empty(rows, frames, width // 2)
    run("overlap", halves, bias, tail, y, *y.shape, int(relu))
    return y


def overlap_backward(slope: Tensor, y: Tensor, later: Tensor, relu: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of halves, bias and tail; `later` (row, value) is that of the last second half."""
    rows, frames, values = y.shape
    dhalves, dtail = y.new_empty(rows, frames, 2 * values), torch.empty_like(later)
    dbias = torch.zeros(values)
    run("overlap_backward", slope, y, later, dhalves, dtail, dbias, *y.shape, int(relu))
    return dhalves, dbias, dtail


def gru(gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Run GRUs side by side, with the gates of PyTorch's `nn.GRU` (reset, update, new), in float32.

    Args:
        gates: (group, row, step, 3 * unit) products with the input; they become the gates.
        hidden: (group, row, unit) before the first step.
        weight: (group, unit, 3 * unit) of the state.
        bias: (group, 3 * unit) of the state.

    Returns:
        States (group, row, step + 1, unit), the first one included, and what the reset gate acts on
        (group, row, step, unit).
    """
    groups, rows, steps, width = gates.shape
    units = width // 3
    states = gates.new_empty(groups, rows, steps + 1, units)
    states[:, :, 0] = hidden
    recurrent, products = gates.new_empty(groups, rows, steps, units), gates.new_empty(AT_ONCE, width)
    run("gru_forward", gates, weight, bias, states, recurrent, products, groups, rows, steps, units)
    return states, recurrent


def gru_backward(
    gates: Tensor, weight: Tensor, states: Tensor, recurrent: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the products with the input and with the state, and of the first state.

    Args:
        gates, weight, states, recurrent: as `gru` was given or returned them.
        slope: gradient (group, row, step, unit) of the state after each step.
    """
    groups, rows, steps, width = gates.shape
    turned = weight.transpose(1, 2).contiguous()
    dgates, dproducts = torch.empty_like(gates), torch.empty_like(gates)
    carried = gates.new_zeros(groups, rows, width // 3)
    sums = gates.new_empty(AT_ONCE, width // 3)
    given = gates, turned, states, recurrent, slope, dgates, dproducts, carried, sums
    run("gru_backward", *given, groups, rows, steps, width // 3)
    return dgates, dproducts, carried


def _parts(mask: Mask | None, units: int) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Return a mask, the ends of its parts, and room for the masks of a frame and their gradients."""
    room = torch.empty(2, units)
    return (None, None, room) if mask is None else (mask.kept, torch.tensor(mask.ends), room)


def _sizes(rows: Tensor, mask: Mask | None) -> tuple[int, int, int, int]:
    """Return the numbers of frames, of rows in a frame, of units, and of parts."""
    frames, parts = (1, 0) if mask is None else mask.kept.shape
    return frames, len(rows) // frames, rows.shape[1], parts
