"""Branches of a slimmable stream: a map along the bands, and a gated linear recurrence along time.

The stream is (frame, batch, band, channel) and keeps its full width. A branch maps it to hidden units and
back. An int keeps that many first hidden units everywhere; a mask (frame, batch, unit) decides for each row
and frame. No branch adds a bias at its end, so that without units it adds nothing. Weights are laid out
hidden unit first, so that a smaller width is the first bytes of each.

In training under bfloat16 autocast on a CPU the branches run by the kernels of `kernels.py`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sese.nn.layers import kernels
from sese.nn.layers.initial import uniform

Hidden = int | Tensor
"""Kept hidden units: the number of the first ones, or a mask (frame, batch, unit)."""


class BandMap(nn.Module):
    """Mix the bands by a two-layer map, the same for all channels.

    Args:
        bands, channels: of the stream.
        size: hidden units.
    """

    def __init__(self, bands: int, channels: int, size: int):
        super().__init__()
        self.bands, self.channels, self.size = bands, channels, size
        self.norm = nn.LayerNorm(channels)
        self.in_weight = nn.Parameter(torch.empty(size, bands))
        self.in_bias = nn.Parameter(torch.empty(size))
        self.out_weight = nn.Parameter(torch.empty(size, bands))
        uniform(self.in_weight, self.in_bias, bands)
        uniform(self.out_weight, None, size)

    def macs(self, hidden: int) -> int:
        """Return the multiply-accumulates of a frame with this number of hidden units."""
        return 2 * hidden * self.bands * self.channels

    def used(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that this many hidden units use."""
        return dict.fromkeys(("in_weight", "in_bias", "out_weight"), (hidden,))

    def forward(self, x: Tensor, hidden: Hidden) -> Tensor:
        """Add the branch to the stream (frame, batch, band, channel)."""
        width = hidden if isinstance(hidden, int) else self.size
        weights = self.in_weight[:width], self.in_bias[:width], self.out_weight[:width]
        if isinstance(hidden, int) and kernels.usable(x):
            tiles = x.flatten(0, 1)
            return _BandMap.apply(tiles, self.norm.weight, self.norm.bias, *weights).view(x.shape)
        y = F.layer_norm(x, (self.channels,), self.norm.weight.to(x.dtype), self.norm.bias.to(x.dtype))
        in_weight, in_bias, out_weight = (weight.to(x.dtype) for weight in weights)
        h = F.relu(torch.matmul(in_weight, y) + in_bias[:, None])
        if isinstance(hidden, Tensor):
            h = h * hidden.unsqueeze(3).to(h.dtype)
        return x + torch.matmul(out_weight.t(), h)


class GatedRecurrence(nn.Module):
    """Mix time and channels: h = a h + (1 - a) v, and h times silu(g) is mapped back to the stream.

    Keep a (a sigmoid), value v and gate g are linear in the stream's normalised frame; bands share the
    weights. The recurrence is linear in its state, so that the state after a rest is known in closed form,
    and training runs all products at once (minGRU, arXiv 2410.01201, with an output gate).

    Args:
        bands, channels: of the stream.
        size: hidden units.
        longest: longest time constant of a fresh unit in frames; the others are spread from 1 to it.
    """

    def __init__(self, bands: int, channels: int, size: int, longest: float = 100.0):
        super().__init__()
        self.bands, self.channels, self.size = bands, channels, size
        self.norm = nn.LayerNorm(channels)
        self.in_weight = nn.Parameter(torch.empty(size, 3, channels))
        self.in_bias = nn.Parameter(torch.zeros(size, 3))
        self.out_weight = nn.Parameter(torch.empty(size, channels))
        uniform(self.in_weight, None, channels)
        uniform(self.out_weight, None, size)
        with torch.no_grad():  # in an order that gives any first units every time constant
            share = torch.arange(size, dtype=torch.float64) * 0.6180339887 % 1.0
            frames = longest**share
            self.in_bias[:, 0] = torch.logit(torch.exp(-1 / frames)).float()

    def macs(self, hidden: int) -> int:
        """Return the multiply-accumulates of a frame with this number of hidden units."""
        return 4 * hidden * self.bands * self.channels

    def used(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that this many hidden units use."""
        return dict.fromkeys(("in_weight", "in_bias", "out_weight"), (hidden,))

    def forward(self, x: Tensor, hidden: Hidden, state: Tensor) -> tuple[Tensor, Tensor]:
        """Add the branch to the stream.

        Args:
            x: (frame, batch, band, channel).
            hidden: kept units; the others hold their state.
            state: (batch, band, unit).

        Returns:
            (frame, batch, band, channel), and the next state.
        """
        width = hidden if isinstance(hidden, int) else self.size
        before = state[..., :width]
        norm = self.norm.weight, self.norm.bias
        weights = self.in_weight[:width], self.in_bias[:width], self.out_weight[:width]
        if isinstance(hidden, int) and hidden and kernels.usable(x):
            made, last = _GatedRecurrence.apply(x, before, *norm, *weights)
        else:
            y = F.layer_norm(x, (self.channels,), norm[0].to(x.dtype), norm[1].to(x.dtype))
            in_weight, in_bias, out_weight = (weight.to(x.dtype) for weight in weights)
            gates = F.linear(y, in_weight.transpose(0, 1).flatten(0, 1), in_bias.t().flatten())
            keep, value, gate = gates.to(before.dtype).chunk(3, dim=3)
            keep = torch.sigmoid(keep)
            added = (1 - keep) * value
            if isinstance(hidden, Tensor):
                mask = hidden.unsqueeze(2).to(keep.dtype)
                keep, added = 1 - mask * (1 - keep), mask * added
            h = scan(keep, added, before)
            last = h[-1]
            u = h * F.silu(gate)
            if isinstance(hidden, Tensor):
                u = u * mask
            made = x + torch.matmul(u.to(x.dtype), out_weight)
        return made, torch.cat([last, state[..., width:]], dim=2) if width < self.size else last


def scan(keep: Tensor, added: Tensor, state: Tensor) -> Tensor:
    """Run h = keep h + added over the first axis, in log2(steps) passes.

    Args:
        keep, added: (step, ...), keep in [0, 1].
        state: (...) before the first step.

    Returns:
        (step, ...).

    Example:
        >>> scan(torch.full((3, 1), 0.5), torch.ones(3, 1), torch.zeros(1)).flatten()
        tensor([1.0000, 1.5000, 1.7500])
    """
    h = torch.cat([(added[:1] + keep[:1] * state), added[1:]])
    keep, reach = keep, 1
    while reach < len(h):
        h = torch.cat([h[:reach], h[reach:] + keep[reach:] * h[:-reach]])
        keep = torch.cat([keep[:reach], keep[reach:] * keep[:-reach]])
        reach *= 2
    return h


class _BandMap(torch.autograd.Function):
    """Run `BandMap` on tiles (tile, band, channel) of bfloat16."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain: Tensor,
        shift: Tensor,
        in_weight: Tensor,
        in_bias: Tensor,
        out_weight: Tensor,
    ) -> Tensor:
        x = x.contiguous()
        y, means, inverses = kernels.norm(x, gain, shift, turned=True)
        y = y.flatten(0, 1)
        inward, outward = in_weight.to(x.dtype), out_weight.to(x.dtype)
        h = torch.mm(y, inward.t())
        kernels.shift_relu(h, in_bias.contiguous())
        made = torch.mm(h, outward)
        ctx.save_for_backward(x, gain, means, inverses, y, h, inward, outward)
        return kernels.add_turned(x, made)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        x, gain, means, inverses, y, h, inward, outward = ctx.saved_tensors
        slope = slope.contiguous()
        dmade = kernels.turn(slope).flatten(0, 1)
        dout = torch.mm(dmade.t(), h).t()  # faster in this order
        dh = torch.mm(dmade, outward.t())
        dbias = kernels.shift_relu_backward(dh, h)
        din = torch.mm(y.t(), dh).t()
        dy = torch.mm(dh, inward)
        dx, dgain, dshift = kernels.norm_backward(x, gain, means, inverses, dy, slope, turned=True)
        return dx, dgain, dshift, din.float(), dbias, dout.float()


class _GatedRecurrence(torch.autograd.Function):
    """Run `GatedRecurrence` on a stream (frame, batch, band, channel) of bfloat16, its state in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        state: Tensor,
        gain: Tensor,
        shift: Tensor,
        in_weight: Tensor,
        in_bias: Tensor,
        out_weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        frames, batch, bands, channels = x.shape
        units = len(out_weight)
        rows = x.contiguous().view(-1, 1, channels)
        y, means, inverses = kernels.norm(rows, gain, shift, turned=False)
        y = y.view(-1, channels)
        inward = in_weight.to(x.dtype).transpose(0, 1).reshape(3 * units, channels)
        outward = out_weight.to(x.dtype)
        gates = torch.mm(y, inward.t()).view(frames, batch * bands, 3, units)
        bias = in_bias.t().contiguous()
        made, states, last = kernels.recur(gates, bias, state.float().reshape(batch * bands, units))
        result = torch.addmm(rows.view(-1, channels), made.view(-1, units), outward)
        ctx.save_for_backward(rows, gain, means, inverses, y, gates, bias, states, made, inward, outward)
        return result.view(x.shape), last.view(batch, bands, units)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, later: Tensor) -> tuple[Tensor, ...]:
        rows, gain, means, inverses, y, gates, bias, states, made, inward, outward = ctx.saved_tensors
        units, channels = outward.shape
        flat = slope.reshape(-1, channels)
        dout = torch.mm(flat.t(), made.view(-1, units)).t()  # faster in this order
        dmade = torch.mm(flat, outward.t()).view(made.shape)
        later = later.reshape(gates.shape[1], units)
        dgates, dbias, dstate = kernels.recur_backward(gates, bias, states, dmade, later)
        dgates = dgates.view(-1, 3 * units)
        din = torch.mm(y.t(), dgates).t().float().view(3, units, channels).transpose(0, 1)
        dy = torch.mm(dgates, inward)
        residual = flat.contiguous()
        dx, dgain, dshift = kernels.norm_backward(rows, gain, means, inverses, dy, residual, turned=False)
        dstate = dstate.view(slope.shape[1], -1, units)
        return dx.view(slope.shape), dstate, dgain, dshift, din, dbias.t(), dout.float()
