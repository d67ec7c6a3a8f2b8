"""Switch between the enhanced and the original audio without a click or a jump in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FADE_SECONDS = 0.02


class Bypass:
    """Delay the input until its enhanced counterpart is ready, and fade between the two.

    Attributes:
        on: Whether the original is heard; it may be set from another thread.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.on = False
        self._step = 1 / max(1, round(FADE_SECONDS * sample_rate))
        self._wet = 1.0
        self._dry = np.zeros((0, channels), np.float32)

    def __call__(self, audio: NDArray[np.float32], enhanced: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mix the input and the enhanced samples that are ready, both ``[frame, channel]``.

        Returns:
            As many frames as are enhanced.
        """
        self._dry = np.concatenate([self._dry, audio])
        dry, self._dry = np.split(self._dry, [len(enhanced)])
        goal = 0.0 if self.on else 1.0
        if not len(enhanced) or (self._wet == goal == 1):
            return enhanced
        if self._wet == goal == 0:
            return dry
        way = np.arange(1, len(enhanced) + 1) * self._step
        wet = np.maximum(self._wet - way, 0) if self.on else np.minimum(self._wet + way, 1)
        self._wet = float(wet[-1])
        share = wet[:, None].astype(np.float32)
        return share * enhanced + (1 - share) * dry
