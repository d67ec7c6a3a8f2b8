"""Our slimmable spectral network of `sese-2`: a map along the bands and a gated recurrence along time.

Windows of bins become bands of channels, a residual stream of full width. A block adds two branches to it: a
map along the bands, and a gated linear recurrence along time that the bands share. Windows of the stream
become a complex mask. A level keeps the first blocks, and the first hidden units of each; the stream keeps
its width, so that levels may change at any frame. See docs/systems/gated_mixer.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.nn.backbones.common import SystemConfig, check_bands, check_window, level_frames, set_level_sizes
from sese.nn.enhancer import Enhancer
from sese.nn.features.steady import SteadyFeatures
from sese.nn.features.stft import COMPRESSION
from sese.nn.heads.mask import MaskHead
from sese.nn.layers.gated import BandMap, GatedRecurrence, Hidden
from sese.nn.parts import Backbone
from sese.nn.plan import REST, UNSAID_GAIN, Plan, Site, spread
from sese.nn.policies.activity import Activity
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State

PARTS = 3
"""Number of values of a bin that go in: the magnitude, the real and the imaginary part."""


@dataclass(frozen=True)
class GatedMixerConfig(SystemConfig):
    """Configuration of the gated mixer; the defaults are those of `sese-2`.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        bands: Pairs of (bands, bins in each) from low to high frequencies; together n_fft / 2 bins.
        channels: Number of channels of the residual stream.
        blocks, band_units, time_units: Sizes of each level, see `GatedMixer`.
        level_seconds: Time constant of the running level in seconds.
        activity_units: Number of units of the policy that detects speech and noise and lets the network rest;
            0 for no policy.
    """

    description: ClassVar[str] = "Causal slimmable spectral network that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {
        "n_fft": 128,
        "hop_length": 64,
        "bands": ((8, 8),),
        "channels": 8,
        "blocks": (1, 2, 3),
        "band_units": (4, 6, 8),
        "time_units": (4, 6, 8),
    }

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    bands: tuple[tuple[int, int], ...] = ((16, 8), (8, 16))
    channels: int = 64
    blocks: tuple[int, ...] = (1, 4, 8)
    band_units: tuple[int, ...] = (48, 64, 96)
    time_units: tuple[int, ...] = (96, 128, 192)
    level_seconds: float = 2.0
    activity_units: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        object.__setattr__(self, "bands", tuple(tuple(int(n) for n in pair) for pair in self.bands))
        set_level_sizes(self, "blocks", "band_units", "time_units")
        at_least(self, 1, "model", "sample_rate", "channels", "hop_length")
        at_least(self, 0, "model", "activity_units")
        above_zero(self, "model", "level_seconds")
        check_window(self)
        check_bands(self.bands, self.n_fft)

    @property
    def rests(self) -> bool:
        """Whether frames may keep nothing: always, since its states are held then."""
        return True

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.blocks)

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        features = SteadyFeatures(self.n_fft, self.hop_length, level_frames(self, self.hop_length))
        backbone = GatedMixer(self.bands, self.channels, self.blocks, self.band_units, self.time_units)
        head = MaskHead(self.n_fft, self.hop_length)
        policy = Activity(features.evidence_size, self.activity_units) if self.activity_units else None
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, policy)


class GatedMixer(Backbone):
    """Compute complex masks from compressed spectra.

    Args:
        bands: Pairs of (bands, bins in each) from low to high frequencies; the bins sum to half the window.
        channels: Number of channels of the stream.
        blocks: Number of blocks of each level, growing or the same.
        band_units, time_units: Number of hidden units of the branches at each level, growing or the same.
    """

    real: Tensor
    frames_apart = False
    """The level of a frame changes the states, so frames must run in order."""

    def __init__(
        self,
        bands: Sequence[tuple[int, int]],
        channels: int,
        blocks: Sequence[int],
        band_units: Sequence[int],
        time_units: Sequence[int],
    ):
        super().__init__()
        self.bands, self.channels = tuple(bands), channels
        self.bins = sum(count * bins for count, bins in bands)
        count = sum(count for count, _ in bands)
        self.encoder = nn.ModuleList(nn.Linear(2 * PARTS * bins, channels, bias=False) for _, bins in bands)
        self.offset = nn.Parameter(torch.empty(count, channels))
        nn.init.normal_(self.offset, std=0.1)
        # Any: PyTorch does not know the type of a list's modules.
        self.blocks: Any = nn.ModuleList(
            Block(
                count,
                channels,
                *(
                    tuple(units if block < kept else 0 for units, kept in zip(sizes, blocks, strict=True))
                    for sizes in (band_units, time_units)
                ),
            )
            for block in range(blocks[-1])
        )
        # State -> its blocks. In the exported file each state costs time in every call, even where held.
        spans = dict.fromkeys(pairwise([0, *blocks]))
        self.groups = {
            f"time.{i}": range(*span) for i, span in enumerate(span for span in spans if span[0] < span[1])
        }
        self.norm = nn.LayerNorm(channels)
        decoder: list[Any] = [nn.Linear(channels, 4 * bins, bias=False) for _, bins in bands]
        with torch.no_grad():  # at first the output is the input
            for layer in decoder:
                layer.weight *= 0.1
        self.decoder = nn.ModuleList(decoder)
        real = torch.tensor([1.0, 0.0]).repeat_interleave(self.bins).view(2, -1)
        self.passed = nn.Parameter(real.clone())
        self.register_buffer("real", real, persistent=False)
        costs = list(accumulate(self.macs()[1]["scale"]))
        # Rounded, because users give these as budgets.
        used = [round(cost / costs[-1], 2) or cost / costs[-1] for cost in costs]
        self.sites = (Site("scale", tuple(b - a for a, b in pairwise([0.0, *used])), "prefix"),)

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame that go in."""
        return PARTS * self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those each unit adds."""
        static = sum(2 * bins * (PARTS + 2) * count * self.channels for count, bins in self.bands)
        levels = len(self.blocks[0].band_units)
        totals = [0] + [sum(block.macs(units) for block in self.blocks) for units in range(1, levels + 1)]
        return static, {"scale": [b - a for a, b in pairwise(totals)]}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis; blocks of the same levels share one."""
        bands, size = len(self.offset), self.blocks[0].time.size
        return {name: (bands * len(blocks), size) for name, blocks in self.groups.items()}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks.

        Args:
            x: Compressed spectra (batch, frame * 3 * bin): a frame's magnitudes, real and imaginary parts.
            plan: Units that run in each frame, for the site ``scale``.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            The mask (batch, frame * 2 * bin), a frame's real parts before its imaginary ones, and the next
            state.
        """
        spectra = x.unflatten(1, (-1, PARTS, self.bins))
        mask, state = masked_or_sliced(self.run, self.run, spectra, plan["scale"], state, rests=True)
        gain, mask = plan.get(REST), mask.flatten(1)
        return (self.at_rest(mask, x, gain, {})[0] if isinstance(gain, Tensor) else mask), state

    def at_rest(
        self, mask: Tensor, spectra: Tensor, gain: Tensor, state: State
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Replace the mask by a gain for all bins in frames of rest.

        Args:
            mask: Masks (batch, frame * 2 * bin).
            spectra: As for `forward`; not used.
            gain: Gains (batch or 1, frame), 0 where the network runs.
            state: Nothing.
        """
        gain = gain.unsqueeze(2).unsqueeze(3)
        flat = gain.clamp_min(1e-9) ** COMPRESSION * self.real  # which the head cubes
        return torch.where(gain > 0, flat, mask.unflatten(1, (-1, 2, self.bins))).flatten(1), {}

    def run(self, spectra: Tensor, keep: int | Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, 3, bin) that all keep `keep` units, or the units of masks.

        Where no unit is kept the network rests: states are held, and all bins get the same gain.
        """
        if isinstance(keep, int) and keep == 0:
            return (UNSAID_GAIN**COMPRESSION * self.real).expand(*spectra.shape[:2], -1, -1), dict(state)
        device = spectra.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else spectra.dtype
        with torch.autocast(device, enabled=False):  # the few casts here are explicit
            x = self._encode(spectra.transpose(0, 1).to(dtype))
            after = dict(state)
            for name, blocks in self.groups.items():
                if not isinstance(keep, int) or self.blocks[blocks[0]].band_units[keep - 1]:
                    parts = list(state[name].split(len(self.offset), dim=1))
                    for i, block in enumerate(blocks):
                        x, parts[i] = self.blocks[block](x, keep, parts[i])
                    after[name] = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
            norm = self.norm.weight.to(dtype), self.norm.bias.to(dtype)
            mask = self._decode(F.layer_norm(x, (self.channels,), *norm))
        return mask.transpose(0, 1) + self.passed.to(dtype), after

    def _encode(self, spectra: Tensor) -> Tensor:
        """Encode (frame, batch, 3, bin) -> (frame, batch, band, channel); windows are two bands wide."""
        made = []
        parts = spectra.split([count * bins for count, bins in self.bands], dim=3)
        for layer, part, (count, bins) in zip(self.encoder, parts, self.bands, strict=True):
            halves = F.pad(part, (bins // 2, bins // 2)).unflatten(3, (count + 1, bins)).transpose(2, 3)
            windows = torch.cat([halves[:, :, :-1], halves[:, :, 1:]], dim=4).flatten(3)
            made.append(F.linear(windows, layer.weight.to(windows.dtype)))  # type: ignore[arg-type]
        return torch.cat(made, dim=2) + self.offset.to(spectra.dtype)

    def _decode(self, x: Tensor) -> Tensor:
        """Decode (frame, batch, band, channel) -> (frame, batch, 2, bin); windows overlap by half."""
        made = []
        parts = x.split([count for count, _ in self.bands], dim=2)
        for layer, part, (_, bins) in zip(self.decoder, parts, self.bands, strict=True):
            windows = F.linear(part, layer.weight.to(part.dtype))  # type: ignore[arg-type]
            # (frame, batch, band, half, part, bin) -> half, (frame, batch, part, band, bin)
            first, second = windows.unflatten(3, (2, 2, bins)).permute(3, 0, 1, 4, 2, 5)
            whole = F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))
            made.append(whole.flatten(3)[..., bins // 2 : -(bins // 2)])
        return torch.cat(made, dim=3)


class Block(nn.Module):
    """Mix along the bands, then along time and channels.

    Args:
        bands, channels: Number of bands and channels of the stream.
        band_units, time_units: Number of hidden units of the branches at each level; 0 leaves the block out.
    """

    def __init__(self, bands: int, channels: int, band_units: tuple[int, ...], time_units: tuple[int, ...]):
        super().__init__()
        self.band_units, self.time_units = band_units, time_units
        self.band = BandMap(bands, channels, band_units[-1])
        self.time = GatedRecurrence(bands, channels, time_units[-1])

    def macs(self, units: int) -> int:
        """Return the multiply-accumulates of one frame with `units` units of the site kept."""
        return self.band.macs(self.band_units[units - 1]) + self.time.macs(self.time_units[units - 1])

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return how much of each weight is used with `units` units of the site kept, from axis 0 on."""
        branches = {
            "band": self.band.used(self.band_units[units - 1]),
            "time": self.time.used(self.time_units[units - 1]),
        }
        return {
            f"{branch}.{name}": kept for branch, names in branches.items() for name, kept in names.items()
        }

    def forward(self, x: Tensor, keep: int | Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run on the stream (frame, batch, band, channel) with `keep` units, or under masks of units."""
        x = self.band(x, _hidden(keep, self.band_units))
        return self.time(x, _hidden(keep, self.time_units), state)


def _hidden(keep: int | Tensor, sizes: tuple[int, ...]) -> Hidden:
    """Return hidden units for units; masks (batch, frame, unit) -> (frame, batch, hidden unit)."""
    return sizes[keep - 1] if isinstance(keep, int) else spread(keep, sizes).transpose(0, 1)
