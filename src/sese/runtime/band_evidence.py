"""Compute what a network knows about the bands above a model's band, at any level of the signal.

At each point of time these are, in this order: logarithms of the powers of the model's input in six bands,
of the model's gain there, and of the powers of ten narrow bands above. Powers are relative to a running mean,
so a louder signal has the same values. Bands that a sample rate has no room for are silent.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sese.runtime.model_gain import EDGES

BANDS = 10
"""Number of narrow bands at 48 kHz and above."""

BELOW = len(EDGES) - 1
"""Number of bands in the model's band."""

WIDTH = 2 * BELOW + BANDS
"""Number of values at a point of time."""

REFERENCE_SECONDS = 1.0
"""Time constant of the running mean."""

SILENT = np.float32(1e-13)
"""Mean power that is added to all powers."""

LOWEST, HIGHEST = -6.0, 3.0
"""Limits of the powers, as powers of ten of the running mean."""

LOWEST_GAIN = -2.0
"""Lowest gain of the model, as a power of ten of the amplitude."""

LOWESTS = np.repeat(np.array([LOWEST, LOWEST_GAIN, LOWEST], np.float32), [BELOW, BELOW, BANDS])
HIGHESTS = np.repeat(np.array([HIGHEST, 0, HIGHEST], np.float32), [BELOW, BELOW, BANDS])


class BandEvidence:
    """Compute values point by point.

    Args:
        seconds: Time between two points.
    """

    def __init__(self, seconds: float) -> None:
        self._keep = math.exp(-seconds / REFERENCE_SECONDS)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._mean: NDArray[np.float32] | None = None  # [1, channel]

    def __call__(
        self, above: NDArray[np.float32], heard: NDArray[np.float32], left: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the values of the next points, float32 ``[point, channel, value]``.

        Args:
            above: Mean power in each band above, ``[point, channel, band]``; one point or more.
            heard: Mean power of the model's input in each band below, the same shape but for the bands.
            left: Mean power of the model's output there.
        """
        powers = np.concatenate([heard, left, above], axis=-1)
        total = powers @ _weights(above.shape[-1])
        before = total[:1] if self._mean is None else self._mean
        means = _smoothing(len(total), self._keep) @ np.concatenate([before, total])
        self._mean = means[-1:]
        values = np.full((*total.shape, WIDTH), LOWEST, np.float32)
        logs = np.log10(powers + SILENT)
        here = values[..., : powers.shape[-1]]
        np.subtract(logs, np.log10(means + SILENT)[..., np.newaxis], out=here)
        values[..., BELOW : 2 * BELOW] = (logs[..., BELOW : 2 * BELOW] - logs[..., :BELOW]) / 2
        return np.minimum(np.maximum(values, LOWESTS, out=values), HIGHESTS, out=values)


@lru_cache(maxsize=16)
def _weights(bands: int) -> NDArray[np.float32]:
    """Return the share of each power in the sum of the means below and above."""
    return np.repeat(np.array([1 / BELOW, 0, 1 / bands], np.float32), [BELOW, BELOW, bands])


@lru_cache(maxsize=64)
def _smoothing(count: int, keep: float) -> NDArray[np.float32]:
    """Return the matrix that turns a last value and `count` new ones into as many smoothed ones."""
    ages = np.arange(1, count + 1)[:, None] - np.arange(count + 1)
    weights = np.where(ages < 0, 0, keep ** np.maximum(ages, 0))
    weights[:, 1:] *= 1 - keep
    return weights.astype(np.float32)
