"""Settings of boosting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sese.core.checks import at_least


@dataclass(frozen=True)
class BoostingConfig:
    """How hashes are learned.

    Attributes:
        segments: groups of frames that are compared with each other, all in memory: 8 bytes a pair.
        clips, frames_per_clip: mixtures in a segment, and frames of each; the dictionary takes as many.
        alike: what bits are to say of two frames: whether their ``spectra`` are alike, as published, or their
            ideal binary ``masks``.
        width: of the bell by which two frames are alike, exp((a - 1) / width) where they agree by a, up to
            1; 0 takes a itself.
        balanced: pairs that are alike weigh as much at first as those that are not; else all weigh the same,
            as published.
        centred: learners start at projections that halve the frames; else at random ones, as published.
    """

    segments: int = 32
    clips: int = 20
    frames_per_clip: int = 25
    alike: Literal["spectra", "masks"] = "spectra"
    width: float = 0.0
    balanced: bool = False
    centred: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        at_least(self, 1, "training.boosting", "segments", "clips", "frames_per_clip")
        at_least(self, 0, "training.boosting", "width")
