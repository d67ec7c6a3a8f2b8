"""Settings of boosting."""

from __future__ import annotations

from dataclasses import dataclass

from sese.errors import InputError


@dataclass(frozen=True)
class BoostingConfig:
    """How hashes are learned.

    Attributes:
        segments: groups of frames that are compared with each other, all in memory: 8 bytes a pair.
        clips: mixtures in a segment.
        width: of the bell by which two frames are alike, exp((cosine - 1) / width); 0 takes the cosine.
        frames_per_clip: most frames of a mixture that go into the dictionary.
    """

    segments: int = 32
    clips: int = 8
    width: float = 0.0
    frames_per_clip: int = 25

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        for name in ("segments", "clips", "frames_per_clip"):
            if getattr(self, name) < 1:
                raise InputError(f"training.boosting.{name} is {getattr(self, name)}; use 1 or more")
        if not self.width >= 0:
            raise InputError(f"training.boosting.width is {self.width}; use 0 (cosine) or more")
