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
from typing import NamedTuple

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

BIAS = np.array(1.6, np.float32)
"""Mean power of steady noise over its floor."""

SILENT = np.array(1e-13, np.float32)
"""Mean power that is added to all powers. No floor is below it."""

LOUDEST = np.array(1e20, np.float32)
"""Highest floor; silence counts as this much, as it tells nothing of noise."""

LOWEST, HIGHEST = -6.0, 3.0
"""Limits of the powers, as powers of ten of the running mean."""

LOWEST_EXCESS = -2.0
"""Lowest excess of a power over steady noise, relative to that noise, as a power of ten."""

LOWEST_GAIN = -3.0
"""Lowest gain of the model, as a power of ten of the amplitude."""

LEAST_EXCESS, ONE = np.array(10**LOWEST_EXCESS, np.float32), np.array(1, np.float32)

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
        points, channels, bands = above.shape
        powers = np.concatenate([heard, left, above], axis=-1)
        total = powers.dot(_weights(bands))
        before = total[:1] if self._mean is None else self._mean
        means = _smoothing(points, self._keep).dot(np.concatenate([before, total]))
        self._mean = means[-1:]
        # The excess over steady noise needs no mean.
        over = above + SILENT
        over /= self._noise(above)
        over -= ONE
        np.maximum(over, LEAST_EXCESS, out=over)
        logs = np.concatenate([powers, means[..., None], over], axis=-1).reshape(points * channels, -1)
        logs += SILENT  # which is nothing beside an excess
        ratios = _ratios(bands)
        values = np.log10(logs, out=logs).dot(ratios.logs)
        np.maximum(values, LOWESTS, out=values)
        np.minimum(values, ratios.highest, out=values)
        return values.reshape(points, channels, WIDTH)


class SteadyNoise:
    """Estimate the power of steady noise point by point.

    Args:
        seconds: Time between two points.
    """

    def __init__(self, seconds: float) -> None:
        self._keep = math.exp(-seconds / SMOOTHING_SECONDS)
        self._rise = np.array(10 ** (RISE * seconds), np.float32)
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
        level = _smoothing(count, self._keep).dot(flat).reshape(power.shape)
        self._level = level[-1:]
        floors = level + SILENT
        np.putmask(floors, power <= SILENT, LOUDEST)
        floor = self._floor
        for number in range(count):
            lowest = floors[number]
            floor = np.minimum(lowest, floor * self._rise, out=lowest)
        self._floor = floor
        return floors * BIAS


@lru_cache(maxsize=16)
def _weights(bands: int) -> NDArray[np.float32]:
    """Return the share of each power in the sum of the means below and above."""
    return np.repeat(np.array([1 / BELOW, 0, 1 / bands], np.float32), [BELOW, BELOW, bands])


class _Ratios(NamedTuple):
    """Turn logarithms of powers into the values, which are logarithms of ratios.

    Attributes:
        logs: Matrix from the logarithms of the powers below (input and output) and above, of the running
            mean, and of the excess in each band above, [logarithm, value].
        highest: Highest of each value, [value]; missing bands have their lowest here as well.
    """

    logs: NDArray[np.float32]
    highest: NDArray[np.float32]


@lru_cache(maxsize=16)
def _ratios(bands: int) -> _Ratios:
    """Return the matrix and the upper limits for so many bands above."""
    mean = 2 * BELOW + bands
    matrix = np.zeros((mean + 1 + bands, WIDTH), np.float32)
    below, gains, above = np.arange(BELOW), BELOW + np.arange(BELOW), 2 * BELOW + np.arange(bands)
    matrix[below, below] = matrix[above, above] = 1
    matrix[mean, below] = matrix[mean, above] = -1
    matrix[gains, gains], matrix[below, gains] = 0.5, -0.5  # of amplitudes
    matrix[mean + 1 + np.arange(bands), FLOOR + np.arange(bands)] = 1
    missing = np.ones(WIDTH, np.bool_)
    missing[np.concatenate([below, gains, above, FLOOR + np.arange(bands)])] = False
    return _Ratios(matrix, np.where(missing, LOWESTS, HIGHESTS))


@lru_cache(maxsize=64)
def _smoothing(count: int, keep: float) -> NDArray[np.float32]:
    """Return the matrix that turns a last value and `count` new ones into as many smoothed ones."""
    ages = np.arange(1, count + 1)[:, None] - np.arange(count + 1)
    weights = np.where(ages < 0, 0, keep ** np.maximum(ages, 0))
    weights[:, 1:] *= 1 - keep
    return weights.astype(np.float32)
