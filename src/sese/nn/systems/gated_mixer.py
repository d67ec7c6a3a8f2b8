"""The slimmable spectral network of `sese-2`, ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.nn.backbones.gated_mixer import GatedMixer
from sese.nn.enhancer import Enhancer
from sese.nn.features.steady import SteadyFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.policies.activity import Activity
from sese.nn.systems.common import check_bands, check_window, level_frames, set_level_sizes


@dataclass(frozen=True)
class GatedMixerConfig:
    """Slimmable spectral network; the defaults are those of `sese-2`.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        bands: from low to high frequencies, pairs of (bands, bins in each); together n_fft / 2 bins.
        channels: of the residual stream.
        blocks, band_units, time_units: what each level keeps, see `GatedMixer`.
        level_seconds: time constant of the running level.
        activity_units: units of the policy that hears speech and noise and lets the network rest; 0 has none.
    """

    description: ClassVar[str] = "Causal slimmable spectral network that removes noise from speech."
    rests: ClassVar[bool] = True
    """Frames may keep nothing, see `training.rest`."""

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
            InputError: values that no such network can have.
        """
        object.__setattr__(self, "bands", tuple(tuple(int(n) for n in pair) for pair in self.bands))
        set_level_sizes(self, "blocks", "band_units", "time_units")
        at_least(self, 1, "model", "sample_rate", "channels", "hop_length")
        at_least(self, 0, "model", "activity_units")
        above_zero(self, "model", "level_seconds")
        check_window(self)
        check_bands(self.bands, self.n_fft)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.blocks)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        features = SteadyFeatures(self.n_fft, self.hop_length, level_frames(self, self.hop_length))
        backbone = GatedMixer(self.bands, self.channels, self.blocks, self.band_units, self.time_units)
        head = MaskHead(self.n_fft, self.hop_length)
        policy = Activity(features.evidence_size, self.activity_units) if self.activity_units else None
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, policy)
