"""Slimmable blocks of DEMUCS in training on CPUs: products and C kernels, with their own backward passes.

They compute what the blocks of `conv.py` do under bfloat16 autocast. What lies between two products is one
pass over memory, and so is its gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sese.nn.layers import kernels, slim_kernels
from sese.nn.layers.slim_kernels import Mask
from sese.nn.plan import Slices

CAST = torch.bfloat16

Spans = tuple[tuple[slice, int], ...]
"""Rows, and the number of hidden units that they keep, in the order of the rows."""


def spans(x: Tensor, stride: int, keep: Tensor | Slices, widths: tuple[int, ...]) -> Spans | None:
    """Return the spans of a block that runs as here.

    Args:
        x: the block's input (batch, time, channel).
        stride: number of samples of a row.
        keep: a mask, under which every row runs at full width, or slices.
        widths: hidden width for each number of units kept.

    Returns:
        None where the block runs in PyTorch: outside of training under bfloat16 autocast on a CPU, without
        kernels, and where rows of one width do not follow each other.
    """
    if not kernels.in_training(x):
        return None
    rows = x.shape[0] * x.shape[1] // stride
    if isinstance(keep, Tensor):
        return ((slice(0, rows), widths[-1]),)
    found = []
    for count, index in keep.groups:
        if isinstance(index, Tensor):
            return None
        first, last = (0, keep.rows) if index is None else (index.start, index.stop)
        found.append((slice(first * rows // keep.rows, last * rows // keep.rows), widths[count - 1]))
    return tuple(found)


def mask_of(keep: Tensor | Slices) -> Tensor | None:
    """Return the mask (frame, unit) in float32; None for slices."""
    return keep.float().flatten(0, 1).contiguous() if isinstance(keep, Tensor) else None


class Encode(torch.autograd.Function):
    """Run a `SlimEncoderBlock`.

    The arguments are those of its `forward`, then the mask, weights in their order, stride, widths and spans.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        late: Tensor,
        mask: Tensor | None,
        conv_weight: Tensor,
        conv_bias: Tensor,
        pointwise_weight: Tensor,
        pointwise_bias: Tensor,
        stride: int,
        widths: tuple[int, ...],
        runs: Spans,
    ) -> Tensor:
        blocks = [part.to(CAST).reshape(len(x), -1, stride * x.shape[2]) for part in (late, x)]
        rows = torch.cat(blocks, dim=2).flatten(0, 1)
        inward, outward = conv_weight.to(CAST), pointwise_weight.to(CAST)
        both = rows.new_empty(len(rows), outward.shape[1])
        hidden = []
        parts = _parts(mask, widths)
        for part, width in runs:
            h = torch.mm(rows[part], inward[:width].t())
            if parts is None:
                kernels.shift_relu(h, conv_bias[:width])
                hidden.append(h)
            else:
                hidden += [h, slim_kernels.relu_mask(h, conv_bias, parts)]
            torch.mm(hidden[-1], outward[:width], out=both[part])
        ctx.shape, ctx.widths, ctx.runs = x.shape, widths, runs
        ctx.save_for_backward(rows, mask, both, inward, outward, pointwise_bias, *hidden)
        return slim_kernels.gate(both, pointwise_bias, None).unflatten(0, blocks[0].shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        rows, mask, both, inward, outward, pointwise_bias, *hidden = ctx.saved_tensors
        dboth, dpointwise_bias, _ = slim_kernels.gate_backward(
            both, pointwise_bias, None, slope.to(CAST).contiguous().flatten(0, 1)
        )
        drows = torch.empty_like(rows) if any(ctx.needs_input_grad[:2]) else None
        dinward, doutward, dbias = _zeros(inward), _zeros(outward), _zeros(inward[:, 0])
        dmask, parts = None, _parts(mask, ctx.widths)
        for at, (part, width) in enumerate(ctx.runs):
            dout = dboth[part]
            h, masked = (hidden[at], hidden[at]) if parts is None else hidden
            doutward[:width] += torch.mm(masked.t(), dout)
            dh = torch.mm(dout, outward[:width].t())
            if parts is None:
                dbias[:width] += kernels.shift_relu_backward(dh, h)
            else:
                dbias, dmask = slim_kernels.relu_mask_backward(dh, h, parts)
            dinward[:width] += torch.mm(dh.t(), rows[part])
            if drows is not None:
                torch.mm(dh, inward[:width], out=drows[part])
        dx = dlate = None
        if drows is not None:
            halves = drows.view(len(slope), slope.shape[1], 2, -1).unbind(2)
            dlate, dx = (half.reshape(ctx.shape) for half in halves)
        return dx, dlate, dmask, dinward, dbias, doutward, dpointwise_bias, None, None, None


class Decode(torch.autograd.Function):
    """Run a `SlimDecoderBlock`.

    The arguments are those of its `forward`, then the mask, weights in their order, whether there is a ReLU,
    widths and spans.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        tail: Tensor,
        mask: Tensor | None,
        value_weight: Tensor,
        value_bias: Tensor,
        gate_weight: Tensor,
        gate_bias: Tensor,
        conv_weight: Tensor,
        conv_bias: Tensor,
        relu: bool,
        widths: tuple[int, ...],
        runs: Spans,
    ) -> tuple[Tensor, Tensor]:
        rows = x.to(CAST).contiguous().flatten(0, 1)
        outward = conv_weight.to(CAST)
        halves = rows.new_empty(*x.shape[:2], outward.shape[1])
        kept: list[Tensor] = []
        parts = _parts(mask, widths)
        for part, width in runs:
            inward = torch.cat([value_weight[:width], gate_weight[:width]]).to(CAST)
            bias = torch.cat([value_bias[:width], gate_bias[:width]])
            both = torch.mm(rows[part], inward.t())
            h = slim_kernels.gate(both, bias, parts)
            torch.mm(h, outward[:width], out=halves.flatten(0, 1)[part])
            kept += [inward, bias, both, h]
        repeats = halves.shape[2] // 2 // len(conv_bias)
        y = slim_kernels.overlap(halves, conv_bias.repeat(repeats), tail[:, 0].to(CAST).contiguous(), relu)
        ctx.relu, ctx.widths, ctx.runs, ctx.repeats = relu, widths, runs, repeats
        ctx.dtypes = x.dtype, tail.dtype
        ctx.save_for_backward(rows, mask, outward, y, *kept)
        after = halves[:, -1:, y.shape[2] :].to(tail.dtype)
        return y.view(len(x), -1, len(conv_bias)), after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, later: Tensor) -> tuple[Tensor | None, ...]:
        rows, mask, outward, y, *kept = ctx.saved_tensors
        dhalves, dconv_bias, dtail = slim_kernels.overlap_backward(
            slope.to(CAST).contiguous(), y, later[:, 0].to(CAST).contiguous(), ctx.relu
        )
        dhalves = dhalves.flatten(0, 1)
        drows = torch.empty_like(rows)
        doutward = _zeros(outward)
        size = (2, len(outward), rows.shape[1])
        dinward, dbias = torch.zeros(size), torch.zeros(size[:2])
        dmask, parts = None, _parts(mask, ctx.widths)
        for at, (part, width) in enumerate(ctx.runs):
            inward, bias, both, h = kept[4 * at : 4 * at + 4]
            doutward[:width] += torch.mm(h.t(), dhalves[part])
            dh = torch.mm(dhalves[part], outward[:width].t())
            dboth, dboth_bias, dmask = slim_kernels.gate_backward(both, bias, parts, dh)
            dbias[:, :width] += dboth_bias.view(2, width)
            dinward[:, :width] += torch.mm(dboth.t(), rows[part]).view(2, width, -1)
            torch.mm(dboth, inward, out=drows[part])
        dx = drows.view(len(slope), -1, rows.shape[1]).to(ctx.dtypes[0])
        dconv_bias = dconv_bias.view(ctx.repeats, -1).sum(0)
        weights = dinward[0], dbias[0], dinward[1], dbias[1], doutward, dconv_bias
        return dx, dtail.unsqueeze(1).to(ctx.dtypes[1]), dmask, *weights, None, None, None


def _parts(mask: Tensor | None, widths: tuple[int, ...]) -> Mask | None:
    return None if mask is None else Mask(mask, widths)


def _zeros(weight: Tensor) -> Tensor:
    return torch.zeros(weight.shape)
