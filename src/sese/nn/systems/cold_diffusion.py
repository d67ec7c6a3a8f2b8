"""Modified cold diffusion (Kim and Kristjansson, ICASSP 2024), and plain cold diffusion beside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.cold_diffusion import Aim, ColdDiffusion
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import LevelledFeatures
from sese.nn.heads.spectrum import SpectrumHead
from sese.nn.systems.common import check_bands, check_router, check_window, level_frames, router_of


@dataclass(frozen=True)
class ColdDiffusionConfig:
    """Residual steps between milestones; one step to a gain of 0 is a one-shot network.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        noise_gains: share of the noise that is left behind each step, falling to 0.
        aim, shared: see `ColdDiffusion`.
        bands: from low to high frequencies, pairs of (bands, bins in each); together n_fft / 2 bins.
        channels, blocks, band_units, time_units, channel_units: of a step's network, see `SpectralMixer`.
        level_seconds: time constant of the running level.
        router_channels: channels of the router that picks the number of steps; 0 has no router.
    """

    description: ClassVar[str] = "Causal network that removes noise from speech in residual steps."

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    noise_gains: tuple[float, ...] = (0.56, 0.32, 0.1, 0.0)
    aim: Aim = "milestone"
    shared: bool = False
    bands: tuple[tuple[int, int], ...] = ((16, 8), (8, 16))
    channels: int = 64
    blocks: int = 2
    band_units: int = 48
    time_units: int = 48
    channel_units: int = 96
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        object.__setattr__(self, "bands", tuple(tuple(int(n) for n in pair) for pair in self.bands))
        object.__setattr__(self, "noise_gains", tuple(float(gain) for gain in self.noise_gains))
        gains = (1.0, *self.noise_gains)
        if gains[-1] != 0 or any(later >= gain for gain, later in pairwise(gains)):
            raise InputError(
                f"model.noise_gains is {list(self.noise_gains)}; give shares below 1 that fall to 0"
            )
        sizes = ("channels", "blocks", "band_units", "time_units", "channel_units")
        at_least(self, 1, "model", "sample_rate", "hop_length", *sizes)
        if self.aim not in ("milestone", "clean"):
            raise InputError(f"model.aim is {self.aim!r}; choose from milestone, clean")
        check_router(self)
        above_zero(self, "model", "level_seconds")
        check_window(self)
        check_bands(self.bands, self.n_fft)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.noise_gains)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        features = LevelledFeatures(self.n_fft, self.hop_length, level_frames(self, self.hop_length))
        backbone = ColdDiffusion(
            self.noise_gains,
            self.aim,
            self.shared,
            self.bands,
            self.channels,
            self.blocks,
            self.band_units,
            self.time_units,
            self.channel_units,
        )
        head = SpectrumHead(self.n_fft, self.hop_length)
        router = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)
