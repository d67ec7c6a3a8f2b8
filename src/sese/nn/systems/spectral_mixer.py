"""The slimmable spectral network of `sese-1`, ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.nn.backbones.spectral_mixer import SpectralMixer
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.systems.common import (
    check_bands,
    check_router,
    check_window,
    level_frames,
    router_of,
    set_level_sizes,
)


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
        """The network, freshly initialised."""
        features = SpectralFeatures(self.n_fft, self.hop_length, level_frames(self, self.hop_length))
        backbone = SpectralMixer(
            self.bands, self.channels, self.blocks, self.band_units, self.time_units, self.channel_units
        )
        head = MaskHead(self.n_fft, self.hop_length)
        router = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)
