"""From a configuration's plain values to a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.errors import InputError
from sese.nn.backbones.demucs import Demucs
from sese.nn.backbones.spectral_mixer import SpectralMixer
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.heads.waveform import WaveformHead
from sese.nn.policies.router import Router


@dataclass(frozen=True)
class DemucsConfig:
    """Slimmable DEMUCS; the defaults are the paper's (arXiv 2507.04879).

    Attributes:
        sample_rate: in Hz.
        channels, depth, stride, factors, groups, layers: see `Demucs`.
        oversampling: 1, 2 or 4 (U).
        level_seconds: time constant of the running level.
        router_channels: channels of the router that picks the levels, 16 in the paper; 0 has no router.
    """

    description: ClassVar[str] = "Causal slimmable DEMUCS that removes noise from speech."

    sample_rate: int = 16000
    channels: int = 32
    depth: int = 5
    stride: int = 4
    oversampling: int = 4
    factors: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    groups: int = 8
    layers: int = 2
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value that no DEMUCS can have.
        """
        object.__setattr__(self, "factors", tuple(float(factor) for factor in self.factors))
        for name in ("sample_rate", "channels", "depth", "groups", "layers"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} is {getattr(self, name)}; use 1 or more")
        if self.router_channels < 0:
            raise InputError(f"model.router_channels is {self.router_channels}; use 0 (no router) or more")
        if self.stride < 2:
            raise InputError(f"model.stride is {self.stride}; use 2 or more")
        if self.oversampling not in (1, 2, 4):
            raise InputError(f"model.oversampling is {self.oversampling}; use 1, 2 or 4")
        if self.stride**self.depth % self.oversampling:
            raise InputError(
                f"stride ** depth = {self.stride**self.depth} must be a multiple of {self.oversampling=}"
            )
        growing = all(a < b for a, b in zip((0.0, *self.factors), self.factors, strict=False))
        if not self.factors or not growing or self.factors[-1] != 1:
            raise InputError(f"model.factors is {list(self.factors)}; factors grow from above 0 up to 1")
        if self.channels * 2 ** (self.depth - 1) % self.groups:
            raise InputError(
                f"model.groups is {self.groups}; it must divide the bottleneck's "
                f"{self.channels * 2 ** (self.depth - 1)} channels"
            )

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.factors)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        backbone = Demucs(self.channels, self.depth, self.stride, self.factors, self.groups, self.layers)
        hop_length = backbone.frame_samples // self.oversampling
        level_frames = max(2, round(self.level_seconds * self.sample_rate / hop_length))
        features = WaveformFeatures(hop_length, self.oversampling, level_frames)
        lookahead = (
            features.lookahead_samples
            + backbone.lookahead_samples // self.oversampling
            + WaveformHead.lookahead_of(self.oversampling)
        )
        head = WaveformHead(hop_length, self.oversampling, lookahead)
        steps = 1 if hop_length % 2 else 2
        router = (
            Router(features.evidence_size, self.levels, self.router_channels, steps)
            if self.router_channels
            else None
        )
        return Enhancer(features, backbone, head, self.sample_rate, hop_length, lookahead, router)


@dataclass(frozen=True)
class SpectralMixerConfig:
    """Slimmable spectral network; the defaults are those of `sese-1`.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        bands: from low to high frequencies, pairs of (bands, bins in each); together n_fft / 2 bins.
        channels: of the residual stream.
        blocks, band_units, time_units, channel_units: what each level keeps, see `SpectralMixer`.
        level_seconds: time constant of the running level.
        router_channels: channels of the router that picks the levels; 0 has no router.
    """

    description: ClassVar[str] = "Causal slimmable spectral network that removes noise from speech."

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
            InputError: values that no such network can have.
        """
        object.__setattr__(self, "bands", tuple(tuple(int(n) for n in pair) for pair in self.bands))
        for name in ("blocks", "band_units", "time_units", "channel_units"):
            sizes = tuple(getattr(self, name))
            object.__setattr__(self, name, sizes)
            if len(sizes) != len(self.blocks) or list(sizes) != sorted(sizes) or not sizes or sizes[0] < 1:
                raise InputError(
                    f"model.{name} is {list(sizes)}; give a number for each of {len(self.blocks)} levels, "
                    "from 1, none below the one before"
                )
        for name in ("sample_rate", "channels", "hop_length"):
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} is {getattr(self, name)}; use 1 or more")
        if self.router_channels < 0:
            raise InputError(f"model.router_channels is {self.router_channels}; use 0 (no router) or more")
        if self.n_fft != 2 * self.hop_length:
            raise InputError(f"model.n_fft is {self.n_fft}; use two hops, {2 * self.hop_length}")
        if any(len(pair) != 2 or min(pair) < 1 or pair[1] % 2 for pair in self.bands):
            raise InputError(
                f"model.bands is {self.bands}; give pairs of (bands, even number of bins in each)"
            )
        if sum(count * bins for count, bins in self.bands) != self.n_fft // 2:
            raise InputError(f"model.bands is {self.bands}; the bins must sum to {self.n_fft // 2}")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.blocks)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        level_frames = max(2, round(self.level_seconds * self.sample_rate / self.hop_length))
        features = SpectralFeatures(self.n_fft, self.hop_length, level_frames)
        backbone = SpectralMixer(
            self.bands, self.channels, self.blocks, self.band_units, self.time_units, self.channel_units
        )
        head = MaskHead(self.n_fft, self.hop_length)
        router = None
        if self.router_channels:
            router = Router(features.evidence_size, self.levels, self.router_channels, steps=1)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)


SYSTEMS = {"demucs": DemucsConfig, "spectral_mixer": SpectralMixerConfig}
"""`model.system` in a configuration -> the dataclass of its values."""
