"""A residual block along time, depthwise and dilated, whose hidden channels can be left out in any frame.

A frame leaves out the depthwise products of a channel and its way back to the stream. The way in always runs:
the depthwise convolution looks back, and a later frame may keep the channel.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.errors import InputError
from sese.nn.layers.backward import PReLU, depthwise
from sese.nn.plan import Keep, counts_to_mask
from sese.nn.state import push

Channels = int | Tensor
"""Channels that run: the number of the first ones, or the indices of some."""


class TemporalBlock(nn.Module):
    """Run pointwise, PReLU, norm, depthwise, PReLU, norm, pointwise: the update of a residual stream.

    A block that looks ahead is late by the same time: its output belongs to its input of `ahead` frames
    before.

    In training all channels are computed and then masked, so that the norms see them in every frame.
    Otherwise a keep that needs no gradient leaves the arithmetic out.

    Args:
        channels: of the stream.
        hidden: channels inside.
        kernel, dilation: of the depthwise convolution, in frames.
        units: number of equal groups of hidden channels, each kept or left out as one.
        causal: whether the depthwise convolution only looks back; else it looks as far in both directions.
    """

    def __init__(
        self, channels: int, hidden: int, kernel: int, dilation: int, units: int, causal: bool = True
    ):
        super().__init__()
        self.ahead = 0 if causal else (kernel - 1) * dilation // 2
        self.channels, self.hidden, self.kernel, self.dilation = channels, hidden, kernel, dilation
        self.units, self.group = units, hidden // units
        self.inward = nn.Linear(channels, hidden)
        self.in_slope, self.out_slope = PReLU(), PReLU()
        self.in_norm, self.out_norm = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
        self.depthwise_weight = nn.Parameter(torch.empty(hidden, 1, kernel))
        self.out_weight = nn.Parameter(torch.empty(hidden, channels))
        nn.init.uniform_(self.depthwise_weight, -1 / math.sqrt(kernel), 1 / math.sqrt(kernel))
        nn.init.uniform_(self.out_weight, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    @property
    def past(self) -> int:
        """Number of frames before the latest that the depthwise convolution sees."""
        return (self.kernel - 1) * self.dilation

    def macs(self) -> tuple[int, list[int]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those of each unit."""
        return self.channels * self.hidden, [self.group * (self.kernel + self.channels)] * self.units

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of each weight that the first `units` units use in part."""
        names = ("depthwise_weight", "out_weight", "out_norm.weight", "out_norm.bias")
        return dict.fromkeys(names, (units * self.group,))

    def forward(self, x: Tensor, keep: Keep, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the update of the stream.

        Args:
            x: (batch, frame, channel).
            keep: what runs for the frames that come out.
            state: (batch, past, hidden), the depthwise convolution's input in the frames before.

        Returns:
            (batch, frame, channel), late by `ahead`, and the next state.

        Raises:
            InputError: a mask that is not made of 0 and 1.
        """
        batch, frames = x.shape[:2]
        h = self.in_norm(self.in_slope(self.inward(x)).flatten(0, 1)).unflatten(0, (batch, frames))
        joined, state = push(state, h)
        if self.training or (isinstance(keep, Tensor) and keep.requires_grad):
            made = self._masked(joined, keep, batch, frames)
        elif isinstance(keep, int):
            made = self._whole(joined, keep * self.group)
        else:
            made = self._sliced(joined, keep.expand(batch, frames, -1))
        return made, state

    def _masked(self, joined: Tensor, keep: Keep, batch: int, frames: int) -> Tensor:
        h = self._after(self._depthwise(joined, self.hidden), self.hidden).unflatten(0, (batch, frames))
        if isinstance(keep, int) and keep < self.units:
            keep = counts_to_mask(torch.full((1, 1), keep, device=joined.device), self.units)
        if isinstance(keep, Tensor):
            mask = keep.to(h.dtype).expand(batch, frames, -1)
            if self.group > 1:
                mask = mask.repeat_interleave(self.group, 2, output_size=self.hidden)
            h = h * mask
        return torch.matmul(h, self.out_weight)

    def _whole(self, joined: Tensor, width: int) -> Tensor:
        """Run the first channels in all frames: (batch, past + frame, hidden) -> (batch, frame, channel)."""
        h = self._after(self._depthwise(joined, width), width)
        made = torch.mm(h, self.out_weight[:width])
        return made.unflatten(0, (joined.shape[0], -1))

    def _sliced(self, joined: Tensor, mask: Tensor) -> Tensor:
        """Run in each frame the channels that it keeps; frames that keep the same ones run together."""
        batch, frames = mask.shape[:2]
        if not ((mask == 0) | (mask == 1)).all():
            raise InputError("the plan's mask has values between 0 and 1; round them, or ask for gradients")
        kept, which = torch.unique(mask.flatten(0, 1), dim=0, return_inverse=True)
        if len(kept) == 1 and kept.all():
            return self._whole(joined, self.hidden)
        taps = [joined[:, i * self.dilation : i * self.dilation + frames] for i in range(self.kernel)]
        windows = torch.stack(taps, dim=3).flatten(0, 1)
        made = joined.new_zeros(batch * frames, self.channels)
        for number, units in enumerate(kept.repeat_interleave(self.group, 1)):
            index = units.nonzero().flatten()
            if len(index):
                rows = (which == number).nonzero().flatten()
                part = windows[rows][:, index]
                weight = self.depthwise_weight[index]
                h = self._after(F.conv1d(part, weight, groups=len(index)).squeeze(2), index)
                made[rows] = torch.mm(h, self.out_weight[index])
        return made.unflatten(0, (batch, frames))

    def _depthwise(self, joined: Tensor, width: int) -> Tensor:
        """Convolve (batch, past + frame, hidden) to (batch * frame, width)."""
        x, weight = joined[:, :, :width], self.depthwise_weight[:width]
        if torch.is_grad_enabled():
            return depthwise(x, weight, None, self.dilation).flatten(0, 1)
        y = F.conv1d(x.transpose(1, 2), weight, dilation=self.dilation, groups=width)
        return y.transpose(1, 2).flatten(0, 1)

    def _after(self, h: Tensor, channels: Channels) -> Tensor:
        """Apply PReLU and norm to some channels (row, channel)."""
        h, norm = self.out_slope(h), self.out_norm
        if self.training:
            return norm(h)
        index = slice(channels) if isinstance(channels, int) else channels
        assert norm.running_mean is not None
        assert norm.running_var is not None
        values = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        mean, variance, weight, bias = (value[index] for value in values)
        return F.batch_norm(h, mean, variance, weight, bias, eps=norm.eps)
