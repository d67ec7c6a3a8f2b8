"""Boosted locality-sensitive hashing (arXiv 2002.06239)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.boosted_hashing import BoostedHashing
from sese.nn.enhancer import Enhancer
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.heads.real_mask import RealMaskHead
from sese.nn.systems.common import check_window, level_frames

EXACT = 2**24
"""Float32 has every whole number up to this one."""


@dataclass(frozen=True)
class BoostedHashingConfig:
    """A hash and the dictionary that it is for.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        compression: power that magnitudes are raised to before they are hashed, above 0 and at most 1.
        bits: that each level uses, cheapest first.
        frames: of the dictionary.
        neighbours: whose masks are averaged.
        level_seconds: time constant of the running level; a frame is brought to a norm of 1 besides.
    """

    description: ClassVar[str] = "Nearest neighbours by learned hashes, which remove noise from speech."

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    compression: float = 1.0
    bits: tuple[int, ...] = (25, 50, 100, 200)
    frames: int = 20_000
    neighbours: int = 10
    level_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such system can have.
        """
        object.__setattr__(self, "bits", tuple(self.bits))
        at_least(self, 1, "model", "sample_rate", "hop_length", "neighbours")
        above_zero(self, "model", "level_seconds")
        if not self.bits or any(b <= a for a, b in pairwise((0, *self.bits))):
            raise InputError(f"model.bits is {list(self.bits)}; give numbers above 0 that rise")
        check_window(self, 64)
        if not 0 < self.compression <= 1:
            raise InputError(f"model.compression is {self.compression}; use above 0 and at most 1")
        most = EXACT // self.bits[-1]
        if not self.neighbours <= self.frames <= most:
            raise InputError(f"model.frames is {self.frames}; use {self.neighbours} to {most}")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.bits)

    def build(self) -> Enhancer:
        """The system with random bits and a random dictionary."""
        rate, hop = self.sample_rate, self.hop_length
        features = MagnitudeFeatures(self.n_fft, hop, level_frames(self, hop), self.compression)
        backbone = BoostedHashing(features.bins, self.bits, self.frames, self.neighbours)
        head = RealMaskHead(self.n_fft, hop)
        return Enhancer(features, backbone, head, rate, hop, head.lookahead_samples)
