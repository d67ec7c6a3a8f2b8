"""Our first slimmable spectral network: mixing along bands, time and channels in turn.

Strided convolutions along frequency turn a spectrum into bands of channels, a residual stream of full width.
Blocks on that stream have three branches each: a map along the bands, a GRU along time that the bands share,
and a map along the channels. Transposed convolutions turn the stream into a complex mask. A level keeps the
first blocks, and the first hidden units of each; the stream keeps its width, so that levels may change
at any frame. The parts were chosen to run fast on one core: see docs/systems/spectral_mixer.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.nn.backbones.common import (
    SystemConfig,
    check_bands,
    check_router,
    check_window,
    level_frames,
    router_of,
    set_level_sizes,
)
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.layers.slim import BandGRU, BandMap, ChannelMap, Hidden
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site, spread
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State


@dataclass(frozen=True)
class SpectralMixerConfig(SystemConfig):
    """Configuration of the spectral mixer; the defaults are those of its report.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        bands: Pairs of (bands, bins in each) from low to high frequencies; together n_fft / 2 bins.
        channels: Number of channels of the residual stream.
        blocks, band_units, time_units, channel_units: Sizes of each level, see `SpectralMixer`.
        level_seconds: Time constant of the running level in seconds.
        router_channels: Number of channels of the router that picks the levels; 0 for no router.
    """

    description: ClassVar[str] = "Causal slimmable spectral network that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {
        "channels": 8,
        "band_units": (4, 4, 6, 8),
        "time_units": (4, 5, 6, 8),
        "channel_units": (3, 4, 6, 8),
    }

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    bands: tuple[tuple[int, int], ...] = ((16, 8), (8, 16))
    channels: int = 64
    blocks: tuple[int, ...] = (1, 2, 3, 3)
    band_units: tuple[int, ...] = (32, 32, 48, 96)
    time_units: tuple[int, ...] = (32, 32, 48, 96)
    channel_units: tuple[int, ...] = (32, 64, 96, 192)
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        object.__setattr__(self, "bands", tuple(tuple(int(n) for n in pair) for pair in self.bands))
        set_level_sizes(self, "blocks", "band_units", "time_units", "channel_units")
        at_least(self, 1, "model", "sample_rate", "channels", "hop_length")
        check_router(self)
        above_zero(self, "model", "level_seconds")
        check_window(self)
        check_bands(self.bands, self.n_fft)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.blocks)

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        features = SpectralFeatures(self.n_fft, self.hop_length, level_frames(self, self.hop_length))
        backbone = SpectralMixer(
            self.bands, self.channels, self.blocks, self.band_units, self.time_units, self.channel_units
        )
        head = MaskHead(self.n_fft, self.hop_length)
        router = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)


class SpectralMixer(Backbone):
    """Compute complex masks from compressed spectra.

    Args:
        bands: Pairs of (bands, bins in each) from low to high frequencies; the bins sum to half the window.
        channels: Number of channels of the stream.
        blocks: Number of blocks of each level, growing or the same.
        band_units, time_units, channel_units: Number of hidden units of the branches at each level, growing
            or the same.
    """

    frames_apart = False
    """The units that a frame keeps change its states, so frames must run in order."""

    def __init__(
        self,
        bands: Sequence[tuple[int, int]],
        channels: int,
        blocks: Sequence[int],
        band_units: Sequence[int],
        time_units: Sequence[int],
        channel_units: Sequence[int],
    ):
        super().__init__()
        self.bands, self.channels = tuple(bands), channels
        self.bins = sum(count * bins for count, bins in bands)
        self.encoder = nn.ModuleList(
            nn.Conv1d(2, channels, 2 * bins, bins, bins // 2, bias=False) for _, bins in bands
        )
        self.offset = nn.Parameter(torch.empty(sum(count for count, _ in bands), 1, channels))
        nn.init.normal_(self.offset, std=0.1)
        # Any: PyTorch does not know the type of a list's modules.
        self.blocks: Any = nn.ModuleList(
            Block(
                len(self.offset),
                channels,
                *(
                    tuple(units if block < kept else 0 for units, kept in zip(sizes, blocks, strict=True))
                    for sizes in (band_units, time_units, channel_units)
                ),
            )
            for block in range(blocks[-1])
        )
        self.norm = nn.LayerNorm(channels)
        decoder: list[Any] = [nn.ConvTranspose1d(channels, 2, 2 * bins, bins, bins // 2) for _, bins in bands]
        with torch.no_grad():  # at first the output is the input
            for layer in decoder:
                layer.weight *= 0.1
                layer.bias.copy_(torch.tensor([1.0, 0.0]))
        self.decoder = nn.ModuleList(decoder)
        costs = list(accumulate(self.macs()[1]["scale"]))
        # Rounded, because users give these as budgets.
        used = [round(cost / costs[-1], 2) or cost / costs[-1] for cost in costs]
        self.sites = (Site("scale", tuple(b - a for a, b in pairwise([0.0, *used])), "prefix"),)

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame, in and out."""
        return 2 * self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        static = sum(2 * 2 * (2 * bins) * count * self.channels for count, bins in self.bands)
        levels = len(self.blocks[0].band_units)
        totals = [0] + [sum(block.macs(units) for block in self.blocks) for units in range(1, levels + 1)]
        return static, {"scale": [b - a for a, b in pairwise(totals)]}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        return {f"gru.{i}": (len(self.offset), block.time.size) for i, block in enumerate(self.blocks)}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks.

        Args:
            x: Compressed spectra (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            plan: Units that run in each frame, for the site ``scale``.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            The mask in the layout of x, and the next state.
        """
        spectra = x.unflatten(1, (-1, 2, self.bins))
        mask, state = masked_or_sliced(self.run, self.run, spectra, plan["scale"], state)
        return mask.flatten(1), state

    def run(
        self, spectra: Tensor, keep: int | Tensor, state: State, offset: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, 2, bin) that all keep `keep` units, or the units of masks.

        An offset (band, batch or 1, channel) is added to the stream, as in networks of several steps.
        """
        x = self._encode(spectra)
        if offset is not None:
            x = x + offset
        after = dict(state)
        for i, block in enumerate(self.blocks):
            if not isinstance(keep, int) or block.band_units[keep - 1]:
                x, after[f"gru.{i}"] = block(x, keep, state[f"gru.{i}"])
        return self._decode(self.norm(x)), after

    def _encode(self, spectra: Tensor) -> Tensor:
        """Encode (batch, frame, 2, bin) -> (frame, band, batch, channel)."""
        batch, frames = spectra.shape[:2]
        parts = spectra.flatten(0, 1).split([count * bins for count, bins in self.bands], dim=2)
        made = [layer(part) for layer, part in zip(self.encoder, parts, strict=True)]
        stream = torch.cat(made, dim=2).unflatten(0, (batch, frames)).permute(1, 3, 0, 2)
        return stream + self.offset

    def _decode(self, x: Tensor) -> Tensor:
        """Decode (frame, band, batch, channel) -> (batch, frame, 2, bin)."""
        parts = x.permute(2, 0, 3, 1).flatten(0, 1).split([count for count, _ in self.bands], dim=2)
        made = [layer(part) for layer, part in zip(self.decoder, parts, strict=True)]
        return torch.cat(made, dim=2).unflatten(0, (x.shape[2], x.shape[0]))


class Block(nn.Module):
    """Mix along the bands, along time and along the channels.

    Args:
        bands, channels: Number of bands and channels of the stream.
        band_units, time_units, channel_units: Number of hidden units of the branches at each level; 0 leaves
            the block out.
    """

    def __init__(
        self,
        bands: int,
        channels: int,
        band_units: tuple[int, ...],
        time_units: tuple[int, ...],
        channel_units: tuple[int, ...],
    ):
        super().__init__()
        self.band_units, self.time_units, self.channel_units = band_units, time_units, channel_units
        self.band = BandMap(bands, channels, band_units[-1])
        self.time = BandGRU(bands, channels, time_units[-1])
        self.channel = ChannelMap(bands, channels, channel_units[-1])

    def macs(self, units: int) -> int:
        """Return the multiply-accumulates of one frame with `units` units of the site kept."""
        level = units - 1
        return (
            self.band.macs(self.band_units[level])
            + self.time.macs(self.time_units[level])
            + self.channel.macs(self.channel_units[level])
        )

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return how much of each weight is used with `units` units of the site kept, from axis 0 on."""
        level = units - 1
        branches = {
            "band": self.band.used(self.band_units[level]),
            "time": self.time.used(self.time_units[level]),
            "channel": self.channel.used(self.channel_units[level]),
        }
        return {
            f"{branch}.{name}": kept for branch, names in branches.items() for name, kept in names.items()
        }

    def forward(self, x: Tensor, keep: int | Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run on the stream (frame, band, batch, channel) with `keep` units, or under masks of units."""
        x = self.band(x, _hidden(keep, self.band_units))
        x, state = self.time(x, _hidden(keep, self.time_units), state)
        return self.channel(x, _hidden(keep, self.channel_units)), state


def _hidden(keep: int | Tensor, sizes: tuple[int, ...]) -> Hidden:
    """Return hidden units for units of the site."""
    return sizes[keep - 1] if isinstance(keep, int) else spread(keep, sizes)
