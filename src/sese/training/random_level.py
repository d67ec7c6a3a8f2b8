"""Settings of training with a random level for each example."""

from __future__ import annotations

from dataclasses import dataclass

from sese.core.checks import shares
from sese.core.errors import InputError


@dataclass(frozen=True)
class RandomLevelConfig:
    """Settings of the method `random_level`.

    Attributes:
        shares: probability of each level, the lowest first; equal where empty.
        switching: share of the steps in which each example changes to another example's level at a random
            frame, so that a network learns to continue from the state that another level left.
        rest: share of the steps in which the network rests for a stretch of frames, so that it learns to
            continue from an old state.
    """

    shares: tuple[float, ...] = ()
    switching: float = 0.0
    rest: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if self.shares and not (min(self.shares) >= 0 and abs(sum(self.shares) - 1) < 1e-6):
            raise InputError(
                f"training.random_level.shares is {list(self.shares)}; shares are 0 or more and sum to 1"
            )
        shares(self, "training.random_level", "switching", "rest")
