"""Measure how much quieter the noise of a recording has become."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

WINDOW_SECONDS = 0.05
QUIETEST = 0.2
"""Share of the windows that counts as noise: those with the lowest energy, where nobody speaks."""

FEWEST = 10
"""Number of audible windows that is needed for a result."""

INAUDIBLE = 1e-9
"""Mean square of an input that is silent, -90 dB of full scale."""

MOST_DB = 60.0


class NoiseMeter:
    """Compare the quietest parts of a signal with the same parts of its enhanced version.

    Args:
        sample_rate: Sample rate in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        window = max(1, round(WINDOW_SECONDS * sample_rate))
        self._before, self._after = _Energies(window), _Energies(window)

    def add(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
        """Take the next samples, ``[frame, channel]``; those of the enhanced signal may come later.

        Args:
            before: Samples of the input.
            after: Samples of the output, from where the last ones ended.
        """
        self._before.add(before)
        self._after.add(after)

    def reduction_db(self) -> float | None:
        """Return by how many dB the noise is lower, at most 60; None where there is too little to measure."""
        count = min(len(self._before.values), len(self._after.values))
        before, after = (np.array(side.values[:count]) for side in (self._before, self._after))
        audible = before > INAUDIBLE
        if audible.sum() < FEWEST:
            return None
        before, after = before[audible], after[audible]
        quiet = np.argsort(before)[: max(1, round(QUIETEST * len(before)))]
        ratio = before[quiet].sum() / max(float(after[quiet].sum()), 1e-30)
        return min(MOST_DB, float(10 * np.log10(ratio)))


class _Energies:
    """Mean square of each window of a signal."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._rest: NDArray[np.float32] | None = None
        self.values = array("d")

    def add(self, block: NDArray[np.float32]) -> None:
        if self._rest is not None:
            block = np.concatenate([self._rest, block])
        whole = len(block) // self._window * self._window
        windows = block[:whole].reshape(-1, self._window * block.shape[1])
        self.values.extend(np.mean(np.square(windows, dtype=np.float64), axis=1))
        self._rest = block[whole:].copy()
