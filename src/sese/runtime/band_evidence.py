"""Compute what a network knows about the bands above a model's band, at any level of the signal.

At each point of time these are, in this order: logarithms of the powers of the model's input in six bands,
of the model's gain there, of the powers of ten narrow bands above, and of what these exceed steady noise by.
Powers are relative to a running mean, so a louder signal has the same values. The steady noise of a band is
its floor times a bias, and the floor is the lowest of the smoothed power, which rises slowly. Bands that a
sample rate has no room for are silent.
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

FLOOR = 2 * BELOW + BANDS
"""Place of the first excess over steady noise."""

WIDTH = FLOOR + BANDS
"""Number of values at a point of time."""

REFERENCE_SECONDS = 1.0
"""Time constant of the running mean."""

SMOOTHING_SECONDS = 0.025
"""Time constant of the power that a floor is the lowest of."""

RISE = 1.0
"""Rise of a floor in powers of ten per second, 10 dB."""

BIAS = np.float32(1.6)
"""Mean power of steady noise over its floor."""

SILENT = np.float32(1e-13)
"""Mean power that is added to all powers. No floor is below it."""

LOUDEST = np.float32(1e20)
"""Highest floor; silence counts as this much, as it tells nothing of noise."""

LOWEST, HIGHEST = -6.0, 3.0
"""Limits of the powers, as powers of ten of the running mean."""

LOWEST_EXCESS = -2.0
"""Lowest excess of a power over steady noise, relative to that noise, as a power of ten."""

LOWEST_GAIN = -3.0
"""Lowest gain of the model, as a power of ten of the amplitude."""

LEAST_EXCESS = np.float32(10**LOWEST_EXCESS)
ONE, HALF = np.float32(1), np.float32(0.5)

_COUNTS = [BELOW, BELOW, BANDS, BANDS]
LOWESTS = np.repeat(np.array([LOWEST, LOWEST_GAIN, LOWEST, LOWEST_EXCESS], np.float32), _COUNTS)
HIGHESTS = np.repeat(np.array([HIGHEST, 0, HIGHEST, HIGHEST], np.float32), _COUNTS)


class BandEvidence:
    """Compute values point by point.

    Args:
        seconds: Time between two points.
    """

    def __init__(self, seconds: float) -> None:
        self._keep = math.exp(-seconds / REFERENCE_SECONDS)
        self._noise = SteadyNoise(seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._mean: NDArray[np.float32] | None = None  # [1, channel]
        self._noise.reset()

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
        count, total = powers.shape[-1], powers @ _weights(above.shape[-1])
        before = total[:1] if self._mean is None else self._mean
        means = _smoothing(len(total), self._keep) @ np.concatenate([before, total])
        self._mean = means[-1:]
        values = np.empty((*total.shape, WIDTH), np.float32)
        if count < FLOOR:
            values[:] = LOWESTS
        # The excess over steady noise needs no mean.
        over = (above + SILENT) / self._noise(above) - ONE
        np.maximum(over, LEAST_EXCESS, out=over)
        logs = np.log10(np.concatenate([powers + SILENT, means[..., None] + SILENT, over], axis=-1))
        np.subtract(logs[..., :count], logs[..., count : count + 1], out=values[..., :count])
        gains = values[..., BELOW : 2 * BELOW]
        np.subtract(gains, values[..., :BELOW], out=gains)
        gains *= HALF
        values[..., FLOOR : FLOOR + above.shape[-1]] = logs[..., count + 1 :]
        return np.minimum(np.maximum(values, LOWESTS, out=values), HIGHESTS, out=values)


class SteadyNoise:
    """Estimate the power of steady noise point by point.

    Args:
        seconds: Time between two points.
    """

    def __init__(self, seconds: float) -> None:
        self._keep = math.exp(-seconds / SMOOTHING_SECONDS)
        self._rise = 10 ** (RISE * seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._level: NDArray[np.float32] | None = None  # smoothed power [1, channel, band]
        self._floor = LOUDEST  # [channel, band] later

    def __call__(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power of steady noise in each band at the next points, ``[point, channel, band]``."""
        count = len(power)
        before = power[:1] if self._level is None else self._level
        flat = np.concatenate([before, power]).reshape(count + 1, -1)
        level = (_smoothing(count, self._keep) @ flat).reshape(power.shape)
        self._level = level[-1:]
        risen = _risen(count, self._rise)
        lowest = np.where(power > SILENT, level + SILENT, LOUDEST) / risen
        np.minimum(lowest[0], self._floor, out=lowest[0])
        floor = np.minimum.accumulate(lowest, axis=0) * risen
        self._floor = floor[-1]
        return np.asarray(BIAS * floor)


@lru_cache(maxsize=16)
def _weights(bands: int) -> NDArray[np.float32]:
    """Return the share of each power in the sum of the means below and above."""
    return np.repeat(np.array([1 / BELOW, 0, 1 / bands], np.float32), [BELOW, BELOW, bands])


@lru_cache(maxsize=64)
def _risen(count: int, rise: float) -> NDArray[np.float32]:
    """Return the factors ``[point, 1, 1]`` by which a floor has risen at the next points."""
    return np.power(rise, np.arange(1, count + 1))[:, None, None].astype(np.float32)


@lru_cache(maxsize=64)
def _smoothing(count: int, keep: float) -> NDArray[np.float32]:
    """Return the matrix that turns a last value and `count` new ones into as many smoothed ones."""
    ages = np.arange(1, count + 1)[:, None] - np.arange(count + 1)
    weights = np.where(ages < 0, 0, keep ** np.maximum(ages, 0))
    weights[:, 1:] *= 1 - keep
    return weights.astype(np.float32)
