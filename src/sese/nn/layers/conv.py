"""Slimmable causal convolution blocks of DEMUCS, as matrix products on blocks of samples.

Adaptive Slimming (arXiv 2507.04879, figures of the slimmable encoder and decoder): only the hidden width
inside a block is slimmed; the block's input and output keep their full width. With kernel size twice the
stride, a strided convolution is one matrix product on (the block before, the block now), and a transposed
one adds each frame's second half to the next frame's first half. The state of either is one block at full
width, so levels can change at any frame.

Weights are laid out hidden unit first, so that the first k hidden units are the first bytes of each matrix.

In training under bfloat16 autocast on a CPU the blocks run as in `slim_blocks.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.layers.slim_blocks import Decode, Encode, mask_of, spans
from sese.nn.plan import Slices, spread
from sese.nn.state import delay


class SlimEncoderBlock(nn.Module):
    """Encode by Conv1d(kernel 2 * stride) -> ReLU -> pointwise -> GLU, causal, slimmable in hidden width.

    Args:
        channels_in, channels_out: full widths of the block's input and output.
        stride: samples a frame; the kernel is twice as long.
        widths: hidden channels for each number of kept units, growing; the last is the full width.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, widths: tuple[int, ...]):
        super().__init__()
        self.stride, self.widths = stride, widths
        hidden, kernel = widths[-1], 2 * stride
        self.conv_weight = nn.Parameter(torch.empty(hidden, kernel * channels_in))
        self.conv_bias = nn.Parameter(torch.empty(hidden))
        self.pointwise_weight = nn.Parameter(torch.empty(hidden, 2 * channels_out))
        self.pointwise_bias = nn.Parameter(torch.empty(2 * channels_out))
        reset_uniform(self.conv_weight, self.conv_bias, fan_in=kernel * channels_in)
        reset_uniform(self.pointwise_weight, self.pointwise_bias, fan_in=hidden)

    def macs(self, units: int) -> int:
        """Return the multiply-accumulates of an output frame with `units` units kept; biases not counted."""
        return self.widths[units - 1] * (self.conv_weight.shape[1] + self.pointwise_weight.shape[1])

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of each weight that `units` kept units use in part."""
        return dict.fromkeys(("conv_weight", "conv_bias", "pointwise_weight"), (self.widths[units - 1],))

    def forward(self, x: Tensor, late: Tensor, keep: Tensor | Slices) -> Tensor:
        """Encode.

        Args:
            x: (batch, time, channel), time a multiple of the stride.
            late: (batch, time, channel), the same signal one stride late.
            keep: what runs.

        Returns:
            (batch, time / stride, channel).
        """
        runs = spans(x, self.stride, keep, self.widths)
        if runs is not None:
            weights = self.conv_weight, self.conv_bias, self.pointwise_weight, self.pointwise_bias
            return Encode.apply(x, late, mask_of(keep), *weights, self.stride, self.widths, runs)
        blocks = (part.reshape(x.shape[0], -1, self.stride * x.shape[2]) for part in (late, x))
        return run_slim(torch.cat(list(blocks), dim=2), keep, self.widths, self._inner, self._outer)

    def _inner(self, windows: Tensor, hidden: int) -> Tensor:
        return F.relu(F.linear(windows, first(self.conv_weight, hidden), first(self.conv_bias, hidden)))

    def _outer(self, h: Tensor) -> Tensor:
        return F.glu(torch.addmm(self.pointwise_bias, h, first(self.pointwise_weight, h.shape[1])), dim=-1)


class SlimDecoderBlock(nn.Module):
    """Decode by pointwise -> GLU -> ConvTranspose1d(kernel 2 * stride) [-> ReLU], causal.

    The hidden width is slimmable.
    The two GLU halves are two matrices, so that values and gates stay matched at every width.

    Args:
        channels_in, channels_out: full widths of the block's input and output.
        stride: samples a frame; the kernel is twice as long.
        widths: hidden channels for each number of kept units, growing; the last is the full width.
        last: whether it is the last block of a decoder, which has no ReLU.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, widths: tuple[int, ...], last: bool):
        super().__init__()
        self.stride, self.widths, self.last = stride, widths, last
        hidden, kernel = widths[-1], 2 * stride
        self.value_weight = nn.Parameter(torch.empty(hidden, channels_in))
        self.value_bias = nn.Parameter(torch.empty(hidden))
        self.gate_weight = nn.Parameter(torch.empty(hidden, channels_in))
        self.gate_bias = nn.Parameter(torch.empty(hidden))
        self.conv_weight = nn.Parameter(torch.empty(hidden, kernel * channels_out))
        self.conv_bias = nn.Parameter(torch.empty(channels_out))
        reset_uniform(self.value_weight, self.value_bias, fan_in=channels_in)
        reset_uniform(self.gate_weight, self.gate_bias, fan_in=channels_in)
        # PyTorch's rule for transposed convolutions counts output channels, not input channels.
        reset_uniform(self.conv_weight, self.conv_bias, fan_in=kernel * channels_out)

    def macs(self, units: int) -> int:
        """Return the multiply-accumulates of an input frame with `units` units kept; biases not counted."""
        return self.widths[units - 1] * (2 * self.value_weight.shape[1] + self.conv_weight.shape[1])

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of each weight that `units` kept units use in part."""
        names = ("value_weight", "value_bias", "gate_weight", "gate_bias", "conv_weight")
        return dict.fromkeys(names, (self.widths[units - 1],))

    def forward(self, x: Tensor, keep: Tensor | Slices, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            x: (batch, frame, channel).
            keep: what runs.
            tail: (batch, 1, stride * channel) the second half of the last frame before x.

        Returns:
            (batch, frame * stride, channel), and the next tail.
        """
        runs = spans(x, 1, keep, self.widths)
        if runs is not None:
            gated = self.value_weight, self.value_bias, self.gate_weight, self.gate_bias
            weights = *gated, self.conv_weight, self.conv_bias
            return Decode.apply(x, tail, mask_of(keep), *weights, not self.last, self.widths, runs)
        halves = run_slim(x, keep, self.widths, self._inner, self._outer)
        first, second = halves.chunk(2, dim=2)
        late, tail = delay(tail, second)
        y = (first + late).reshape(x.shape[0], -1, self.conv_bias.shape[0])
        return (y if self.last else F.relu(y)), tail

    def _inner(self, x: Tensor, hidden: int) -> Tensor:
        value = F.linear(x, first(self.value_weight, hidden), first(self.value_bias, hidden))
        gate = F.linear(x, first(self.gate_weight, hidden), first(self.gate_bias, hidden))
        return value * gate.sigmoid()

    def _outer(self, h: Tensor) -> Tensor:
        bias = self.conv_bias.repeat(self.stride)
        once = torch.cat([bias, torch.zeros_like(bias)])  # two halves overlap, and the bias is added once
        return torch.addmm(once, h, first(self.conv_weight, h.shape[1]))


def run_slim(
    x: Tensor,
    keep: Tensor | Slices,
    widths: tuple[int, ...],
    inner: Callable[[Tensor, int], Tensor],
    outer: Callable[[Tensor], Tensor],
) -> Tensor:
    """Run `outer(inner(x, hidden))` with the hidden width that each frame keeps.

    Args:
        x: (batch, time, feature); time is a multiple of the number of frames that `keep` decides for.
        keep: a mask (batch, frame, unit), or slices.
        widths: hidden width for each number of units kept.
        inner: (rows (row, feature), hidden) -> the first `hidden` hidden channels (row, hidden).
        outer: (row, hidden) of any width -> (row, output).

    Returns:
        (batch, time, output).
    """
    flat = x.flatten(0, 1)
    if isinstance(keep, Tensor):
        hidden = inner(flat, widths[-1])
        mask = spread(keep, widths).to(hidden.dtype)
        masked = hidden.view(keep.shape[0] * keep.shape[1], -1, widths[-1]) * mask.flatten(0, 1).unsqueeze(1)
        y = outer(masked.view(hidden.shape))
    elif len(keep.groups) == 1:
        y = outer(inner(flat, widths[keep.groups[0][0] - 1]))
    else:
        by_frame = x.reshape(keep.rows, -1, x.shape[2])
        parts = []
        for count, index in keep.groups:
            part = by_frame[index]
            made = outer(inner(part.flatten(0, 1), widths[count - 1]))
            parts.append(made.view(part.shape[0], by_frame.shape[1], -1))
        if isinstance(keep.groups[0][1], slice):
            y = torch.cat(parts)
        else:
            y = parts[0].new_empty(keep.rows, *parts[0].shape[1:])
            for (_, index), part in zip(keep.groups, parts, strict=True):
                y[index] = part
    return y.view(x.shape[0], x.shape[1], -1)


def first(weight: Tensor, length: int) -> Tensor:
    """Return the first `length` rows of a weight; the weight itself where these are all.

    Example:
        >>> first(torch.arange(4), 2)
        tensor([0, 1])
    """
    return weight if length == len(weight) else weight[:length]


def reset_uniform(weight: Tensor, bias: Tensor, fan_in: int) -> None:
    """Initialise by PyTorch's default, followed by DEMUCS' rescaling of convolutions.

    DEMUCS divides weight and bias by sqrt(std(weight) / 0.1), which narrows the spread of scales between
    layers (Défossez et al., arXiv 1911.13254, section on weight rescaling).
    """
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(weight, -bound, bound)
    nn.init.uniform_(bias, -bound, bound)
    scale = math.sqrt(bound / math.sqrt(3) / 0.1)
    with torch.no_grad():
        weight /= scale
        bias /= scale
