"""Layers with a static part and dynamic parts, after Dynamically Slimmable Networks (arXiv 2510.11395).

A layer's input and output keep their full width. Inside, or at its output, the first units are static and run
in every frame; further units run where a frame keeps them, and are zero elsewhere. ``keep`` selects them: an
int keeps that many first units of the site, a mask (batch, frame, unit) decides for each row and frame.

Weights are laid out unit first, so that the part that a level uses is the beginning of each.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.layers.grouped_recurrence import grouped_gru
from sese.nn.layers.initial import uniform
from sese.nn.plan import spread
from sese.nn.state import delay, push

Kept = int | Tensor
"""Kept units of the site: the number of the first ones, or a mask (batch, frame, unit)."""

KERNEL = 3
"""Width of a convolution in bins."""

BLOCK = 32
"""Number of frames that attention along time runs at once, over all frames that any of them sees."""

SLOPE = 0.03
"""Slope of the leaky ReLU below zero."""


class DynamicConv(nn.Module):
    """Convolve two frames and three bins, causal; the last output channels are dynamic.

    Args:
        channels_in, channels_out: full widths.
        widths: output channels for each number of kept units, never falling; the last is the full width.
        transposed: whether it doubles the bins; else it halves them.
    """

    def __init__(self, channels_in: int, channels_out: int, widths: tuple[int, ...], transposed: bool):
        super().__init__()
        self.widths, self.transposed = widths, transposed
        self.weight = nn.Parameter(torch.empty(channels_out, 2 * channels_in, KERNEL))
        self.bias = nn.Parameter(torch.empty(channels_out))
        uniform(self.weight, self.bias, 2 * channels_in * KERNEL // (2 if transposed else 1))

    def macs(self, units: int, bins: int) -> int:
        """Return the multiply-accumulates of a frame; `bins` is the smaller number of input and output."""
        return bins * self.widths[units - 1] * self.weight.shape[1] * KERNEL

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that `units` kept units use."""
        return dict.fromkeys(("weight", "bias"), (self.widths[units - 1],))

    def forward(self, x: Tensor, keep: Kept, past: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve.

        Args:
            x: (batch, frame, channel, bin).
            keep: what runs.
            past: (batch, 1, channel, bin) the frame before x.

        Returns:
            (batch, frame, channel, bin), zero in channels that are not kept, and the next past.
        """
        late, past = delay(past, x)
        rows = torch.cat([late, x], dim=2).flatten(0, 1)
        full = self.widths[-1]
        width = self.widths[keep - 1] if isinstance(keep, int) else full
        weight, bias = self.weight[:width], self.bias[:width]
        if self.transposed:
            y = F.conv_transpose1d(rows, weight.transpose(0, 1), bias, 2, KERNEL // 2, 1)
        else:
            y = F.conv1d(rows, weight, bias, 2, KERNEL // 2)
        if width < full:
            y = torch.cat([y, y.new_zeros(y.shape[0], full - width, y.shape[2])], dim=1)
        y = y.view(x.shape[0], x.shape[1], full, y.shape[2])
        if isinstance(keep, Tensor):
            y = y * spread(keep, self.widths).unsqueeze(3).to(y.dtype)
        return y, past


class DynamicGRU(nn.Module):
    """Run a grouped GRU whose last groups are dynamic, and a linear layer back: a residual branch.

    Each group reads and computes its own channels of the stream. Along bands it runs in both directions, and
    a group that is not kept is left out of that frame. Along time a group that is not kept holds its state.
    The linear layer reads the kept groups.

    Args:
        channels: of the stream.
        groups: number of groups for each number of kept units, growing; the last divides the channels.
        along_bands: whether it runs along bands; else along time.
    """

    def __init__(self, channels: int, groups: tuple[int, ...], along_bands: bool):
        super().__init__()
        self.along_bands, self.directions = along_bands, 2 if along_bands else 1
        self.groups, self.size = groups, channels // groups[-1]
        self.norm = nn.LayerNorm(channels)
        shape = (groups[-1], self.directions, 3 * self.size)
        self.input_weight = nn.Parameter(torch.empty(*shape, self.size))
        self.hidden_weight = nn.Parameter(torch.empty(*shape, self.size))
        self.input_bias, self.hidden_bias = (nn.Parameter(torch.empty(shape)) for _ in range(2))
        for weight in (self.input_weight, self.hidden_weight, self.input_bias, self.hidden_bias):
            uniform(weight, None, self.size)
        self.out_weight = nn.Parameter(torch.empty(self.directions * channels, channels))
        self.out_bias = nn.Parameter(torch.empty(channels))
        uniform(self.out_weight, self.out_bias, self.directions * channels)

    def macs(self, units: int, bands: int) -> int:
        """Return the multiply-accumulates of a frame with `units` units of the site kept."""
        made = self.groups[units - 1] * self.directions * self.size
        return bands * made * (6 * self.size + self.out_weight.shape[1])

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that `units` kept units use."""
        groups = self.groups[units - 1]
        names = ("input_weight", "hidden_weight", "input_bias", "hidden_bias")
        used: dict[str, tuple[int, ...]] = dict.fromkeys(names, (groups,))
        return used | {"out_weight": (groups * self.directions * self.size,)}

    def forward(self, x: Tensor, keep: Kept, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Add the branch to the stream.

        Args:
            x: (batch, frame, band, channel).
            keep: what runs.
            state: (batch, band, channel) along time; along bands there is none.

        Returns:
            (batch, frame, band, channel), and the next state.
        """
        count = self.groups[keep - 1] if isinstance(keep, int) else self.groups[-1]
        mask = spread(keep, self.groups) if isinstance(keep, Tensor) else None
        width = count * self.size
        y = self.norm(x)[..., :width].float()
        with torch.autocast(x.device.type, enabled=False):  # casts at every step cost too much
            if self.along_bands:
                h = self._along_bands(y, count)
            else:
                assert state is not None
                h, last = self._along_time(y, count, state[..., :width], mask)
                state = torch.cat([last, state[..., width:]], dim=2) if width < state.shape[2] else last
        if mask is not None:
            h = h * mask.repeat_interleave(h.shape[3] // count, dim=2).unsqueeze(2).to(h.dtype)
        out = torch.addmm(self.out_bias, h.flatten(0, 2), self.out_weight[: h.shape[3]])
        return x + out.view(x.shape), state

    def weights(self, count: int) -> list[Tensor]:
        """Return the weights of the first groups, both directions of each.

        Returns:
            Matrices of the input and of the state, (group * direction, 3 * unit, unit) each, and the two
            biases (group * direction, 3 * unit).
        """
        made = (self.input_weight, self.hidden_weight, self.input_bias, self.hidden_bias)
        return [weight[:count].flatten(0, 1) for weight in made]

    def _along_bands(self, y: Tensor, count: int) -> Tensor:
        """Run the first groups along bands.

        (batch, frame, band, channel) -> (batch, frame, band, group * direction * unit).
        """
        batch, frames, bands, _ = y.shape
        up = y.view(batch * frames, bands, count, self.size).permute(1, 2, 3, 0)
        rows = torch.stack([up, up.flip(0)], dim=2).flatten(1, 2)  # (band, group and direction, unit, row)
        made = self._recur(rows, rows.new_zeros(rows.shape[1:]), count, None)[0]
        up, down = made.unflatten(1, (count, 2)).unbind(2)
        made = torch.stack([up, down.flip(0)], dim=2).permute(4, 0, 1, 2, 3)
        return made.reshape(batch, frames, bands, -1)

    def _along_time(self, y: Tensor, count: int, state: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run the first groups along time: (batch, frame, band, channel) -> the same, and the next state."""
        batch, frames, bands, width = y.shape
        rows = y.view(batch, frames, bands, count, self.size).permute(1, 3, 4, 0, 2).flatten(3)
        h = state.reshape(batch * bands, count, self.size).permute(1, 2, 0)
        kept = None
        if mask is not None:
            kept = mask.permute(1, 2, 0).unsqueeze(3).expand(-1, -1, -1, bands).flatten(2).unsqueeze(2)
        made, last = self._recur(rows, h, count, kept)
        made = made.unflatten(3, (batch, bands)).permute(3, 0, 4, 1, 2).reshape(y.shape)
        return made, last.permute(2, 0, 1).reshape(batch, bands, width)

    def _recur(self, rows: Tensor, h: Tensor, count: int, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run `grouped_gru` with the weights of the first groups."""
        input_weight, hidden_weight, input_bias, hidden_bias = self.weights(count)
        return grouped_gru(
            rows,
            h.to(rows.dtype),
            input_weight,
            hidden_weight,
            input_bias.unsqueeze(2),
            hidden_bias.unsqueeze(2),
            None if kept is None else kept.to(rows.dtype),
        )


class DynamicAttention(nn.Module):
    """Run multi-head attention whose last heads are dynamic: a residual branch.

    Along bands a frame's bands see each other. Along time a band sees itself in this frame and in the
    ``window - 1`` frames before. Keys and values are zeros before the start of the stream and in frames that
    did not keep the head.

    Args:
        channels: of the stream.
        heads: number of heads for each number of kept units, growing; the last divides the channels.
        window: number of frames seen along time; 0 is attention along bands.
    """

    def __init__(self, channels: int, heads: tuple[int, ...], window: int):
        super().__init__()
        self.heads, self.window, self.size = heads, window, channels // heads[-1]
        self.norm = nn.LayerNorm(channels)
        self.in_weight = nn.Parameter(torch.empty(heads[-1], 3 * self.size, channels))
        self.in_bias = nn.Parameter(torch.zeros(heads[-1], 3 * self.size))
        self.out_weight = nn.Parameter(torch.empty(heads[-1], self.size, channels))
        self.out_bias = nn.Parameter(torch.zeros(channels))
        for weight in (self.in_weight, self.out_weight):
            uniform(weight, None, channels)

    def macs(self, units: int, bands: int) -> int:
        """Return the multiply-accumulates of a frame with `units` units kept, the scores included."""
        width = self.heads[units - 1] * self.size
        return bands * width * (4 * self.out_bias.numel() + 2 * (self.window or bands))

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that `units` kept units use."""
        return dict.fromkeys(("in_weight", "in_bias", "out_weight"), (self.heads[units - 1],))

    def state_shape(self, bands: int) -> tuple[int, ...]:
        """Return the shape of the state along time: (frame, band, head, key and value)."""
        return (self.window - 1, bands, self.heads[-1], 2 * self.size)

    def forward(self, x: Tensor, keep: Kept, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Add the branch to the stream.

        Args:
            x: (batch, frame, band, channel).
            keep: what runs.
            state: (batch, frame, band, head, key and value) along time; along bands there is none.

        Returns:
            (batch, frame, band, channel), and the next state.
        """
        count = self.heads[keep - 1] if isinstance(keep, int) else self.heads[-1]
        projected = F.linear(
            self.norm(x), self.in_weight[:count].flatten(0, 1), self.in_bias[:count].flatten()
        ).unflatten(3, (count, 3 * self.size))
        mask = None
        if isinstance(keep, Tensor):
            mask = spread(keep, self.heads)[:, :, None, :, None].to(projected.dtype)
        query, pair = projected.split([self.size, 2 * self.size], dim=4)
        if self.window:
            assert state is not None
            pair = pair if mask is None else pair * mask
            made, state = self._along_time(query, pair, state)
        else:
            key, value = (part.transpose(2, 3) for part in pair.chunk(2, dim=4))
            made = self._attend(query.transpose(2, 3), key, value).transpose(2, 3)
        made = made if mask is None else made * mask
        flat = made.reshape(-1, count * self.size)
        out = torch.addmm(self.out_bias, flat, self.out_weight[:count].flatten(0, 1))
        return x + out.view(x.shape), state

    def _along_time(self, query: Tensor, pair: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Attend along time.

        Args:
            query: (batch, frame, band, head, value).
            pair: (batch, frame, band, head, key and value).
            state: keys and values of the frames before.

        Returns:
            (batch, frame, band, head, value), and the next state.
        """
        frames, count = pair.shape[1], pair.shape[3]
        if count < self.heads[-1]:
            missing = pair.new_zeros(*pair.shape[:3], self.heads[-1] - count, pair.shape[4])
            joined, after = push(state, torch.cat([pair, missing], dim=3))
        else:
            joined, after = push(state, pair)
        key, value = joined[..., :count, :].permute(0, 2, 3, 1, 4).chunk(2, dim=4)
        query = query.permute(0, 2, 3, 1, 4)
        if not isinstance(frames, int):  # while a graph for any number of frames is traced
            return self._attend(query, key, value, self._band(frames, query)).permute(0, 3, 1, 2, 4), after
        made = []
        block = BLOCK if frames >= BLOCK else 1  # a few frames are not worth products that are masked
        for begin in range(0, frames, block):
            some = query[..., begin : begin + block, :]
            seen = slice(begin, begin + some.shape[3] + self.window - 1)
            band = self._band(some.shape[3], query) if some.shape[3] > 1 else None
            made.append(self._attend(some, key[..., seen, :], value[..., seen, :], band))
        return torch.cat(made, dim=3).permute(0, 3, 1, 2, 4), after

    def _band(self, frames: int, like: Tensor) -> Tensor:
        """Return offsets of scores (frame, seen frame): 0 where a frame sees the other one, else -inf."""
        ahead = torch.arange(frames + self.window - 1, device=like.device) - torch.arange(
            frames, device=like.device
        ).unsqueeze(1)
        outside = (ahead < 0) | (ahead >= self.window)
        return torch.zeros_like(ahead, dtype=like.dtype).masked_fill(outside, -torch.inf)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, offset: Tensor | None = None) -> Tensor:
        """Attend over the axis before the last by scaled dot products.

        It is written out so that tools that count operations see its products.

        Args:
            query: (..., seeing, value).
            key, value: (..., seen, value).
            offset: (seeing, seen), added to the scores.

        Returns:
            (..., seeing, value).
        """
        scores = torch.matmul(query / math.sqrt(self.size), key.transpose(-1, -2))
        if offset is not None:
            scores = scores + offset
        return torch.matmul(torch.softmax(scores, dim=-1), value)
