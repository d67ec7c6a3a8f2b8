"""Branches of a residual stream whose hidden width is slimmed.

The stream is (frame, band, batch, channel) and keeps its full width. A branch maps it to hidden units and
back. An int keeps that many first hidden units everywhere; a mask (batch, frame, unit) decides for each row
and frame. No branch adds a bias at its end, so that without units it adds nothing.

Weights are laid out hidden unit first, so that a smaller width is the first bytes of each. The recurrent
matrix is the exception, since both of its axes are units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.layers.initial import uniform
from sese.nn.layers.recurrence import gru

Hidden = int | Tensor
"""Kept hidden units: the number of the first ones, or a mask (batch, frame, unit)."""


class BandMap(nn.Module):
    """Mix the bands by a two-layer map, the same for all channels.

    Args:
        bands, channels: of the stream.
        size: hidden units.
    """

    def __init__(self, bands: int, channels: int, size: int):
        super().__init__()
        self.channels, self.size = channels, size
        self.norm = nn.LayerNorm(channels)
        self.in_weight = nn.Parameter(torch.empty(size, bands))
        self.in_bias = nn.Parameter(torch.empty(size))
        self.out_weight = nn.Parameter(torch.empty(size, bands))
        uniform(self.in_weight, self.in_bias, bands)
        uniform(self.out_weight, None, size)

    def macs(self, hidden: int) -> int:
        """Return the multiply-accumulates of a frame with this number of hidden units."""
        return 2 * hidden * self.in_weight.shape[1] * self.channels

    def used(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that this many hidden units use."""
        return dict.fromkeys(("in_weight", "in_bias", "out_weight"), (hidden,))

    def forward(self, x: Tensor, hidden: Hidden) -> Tensor:
        """Add the branch to the stream (frame, band, batch, channel)."""
        width = hidden if isinstance(hidden, int) else self.size
        y = self.norm(x).flatten(2)
        h = torch.matmul(self.in_weight[:width], y) + self.in_bias[:width, None]
        if isinstance(hidden, Tensor):
            h = h.unflatten(2, x.shape[2:]) * hidden.permute(1, 2, 0).unsqueeze(3).to(h.dtype)
            h = h.flatten(2)
        return x + torch.matmul(self.out_weight[:width].t(), F.relu(h)).view(x.shape)


class ChannelMap(nn.Module):
    """Mix the channels by a two-layer map, the same for all bands.

    Args:
        bands, channels: of the stream.
        size: hidden units.
    """

    def __init__(self, bands: int, channels: int, size: int):
        super().__init__()
        self.bands, self.size = bands, size
        self.norm = nn.LayerNorm(channels)
        self.in_weight = nn.Parameter(torch.empty(size, channels))
        self.in_bias = nn.Parameter(torch.empty(size))
        self.out_weight = nn.Parameter(torch.empty(size, channels))
        uniform(self.in_weight, self.in_bias, channels)
        uniform(self.out_weight, None, size)

    def macs(self, hidden: int) -> int:
        """Return the multiply-accumulates of a frame with this number of hidden units."""
        return 2 * hidden * self.in_weight.shape[1] * self.bands

    def used(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that this many hidden units use."""
        return dict.fromkeys(("in_weight", "in_bias", "out_weight"), (hidden,))

    def forward(self, x: Tensor, hidden: Hidden) -> Tensor:
        """Add the branch to the stream (frame, band, batch, channel)."""
        width = hidden if isinstance(hidden, int) else self.size
        y = self.norm(x).flatten(0, 2)
        h = F.relu(F.linear(y, self.in_weight[:width], self.in_bias[:width]))
        if isinstance(hidden, Tensor):
            mask = hidden.transpose(0, 1).unsqueeze(1).to(h.dtype)
            h = (h.view(*x.shape[:3], width) * mask).flatten(0, 2)
        return x + torch.mm(h, self.out_weight[:width]).view(x.shape)


class BandGRU(nn.Module):
    """Run a GRU along time, the same for all bands, and a linear map back.

    Units that are not kept hold their state, and no other unit reads it. Gates follow PyTorch's `nn.GRU`.

    Args:
        bands, channels: of the stream.
        size: hidden units.
    """

    def __init__(self, bands: int, channels: int, size: int):
        super().__init__()
        self.bands, self.size = bands, size
        self.norm = nn.LayerNorm(channels)
        self.input_weight = nn.Parameter(torch.empty(size, 3, channels))
        self.hidden_weight = nn.Parameter(torch.empty(size, 3, size))
        self.input_bias = nn.Parameter(torch.empty(size, 3))
        self.hidden_bias = nn.Parameter(torch.empty(size, 3))
        self.out_weight = nn.Parameter(torch.empty(size, channels))
        uniform(self.input_weight, self.input_bias, size)
        uniform(self.hidden_weight, self.hidden_bias, size)
        uniform(self.out_weight, None, size)

    def macs(self, hidden: int) -> int:
        """Return the multiply-accumulates of a frame with this number of hidden units."""
        channels = self.out_weight.shape[1]
        return self.bands * hidden * (3 * (channels + hidden) + channels)

    def used(self, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the lengths, from axis 0 on, of the part of each weight that this many hidden units use."""
        names = ("input_weight", "input_bias", "hidden_bias", "out_weight")
        return dict.fromkeys(names, (hidden,)) | {"hidden_weight": (hidden, 3, hidden)}

    def forward(self, x: Tensor, hidden: Hidden, state: Tensor) -> tuple[Tensor, Tensor]:
        """Add the branch to the stream.

        Args:
            x: (frame, band, batch, channel).
            hidden: kept units.
            state: (batch, band, unit).

        Returns:
            (frame, band, batch, channel), and the next state.
        """
        y = self.norm(x)
        before = state.transpose(0, 1)
        if isinstance(hidden, int):
            h, last = self._sliced(y, hidden, before[..., :hidden])
            last = torch.cat([last, before[..., hidden:]], dim=2) if hidden < self.size else last
        else:
            h, last = self._masked(y, hidden, before)
        made = torch.mm(h.flatten(0, 2), self.out_weight[: h.shape[3]]).view(x.shape)
        return x + made, last.transpose(0, 1)

    def weights(self, hidden: int) -> list[Tensor]:
        """Return the weights in the order of `recurrence.gru`.

        Returns:
            Matrices of the input (3 * unit, channel) and of the state (3 * unit, unit), and their biases
            (3 * unit,).
        """
        return [
            part.transpose(0, 1).flatten(0, 1)
            for part in (
                self.input_weight[:hidden],
                self.hidden_weight[:hidden, :, :hidden],
                self.input_bias[:hidden],
                self.hidden_bias[:hidden],
            )
        ]

    def _sliced(self, y: Tensor, hidden: int, before: Tensor) -> tuple[Tensor, Tensor]:
        """Run the first units; `before` and the last state are (band, batch, unit)."""
        device = y.device.type
        weights = self.weights(hidden)
        if torch.is_autocast_enabled(device):  # once, not at every step
            weights[:2] = [weight.to(torch.get_autocast_dtype(device)) for weight in weights[:2]]
        with torch.autocast(device, enabled=False):
            h = gru(y.flatten(1, 2), before.flatten(0, 1), *weights).view(*y.shape[:3], hidden)
        return h, h[-1]

    def _masked(self, y: Tensor, mask: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Run all units under a mask (batch, frame, unit); the state is (band, batch, unit)."""
        input_weight, hidden_weight, input_bias, hidden_bias = self.weights(self.size)
        outputs = []
        both = 2 * self.size  # the reset and update gates come first
        with torch.autocast(y.device.type, enabled=False):
            projected = F.linear(y.to(h.dtype), input_weight, input_bias)
            for step, kept in zip(projected, mask.to(h.dtype).unbind(1), strict=True):
                recurrent = F.linear(h * kept, hidden_weight, hidden_bias)
                gates = torch.sigmoid(step[..., :both] + recurrent[..., :both])
                reset, update = gates.chunk(2, dim=-1)
                new = torch.tanh(torch.addcmul(step[..., both:], reset, recurrent[..., both:]))
                new = new + update * (h - new)
                h = h + kept * (new - h)
                outputs.append(kept * new)
        return torch.stack(outputs), h
