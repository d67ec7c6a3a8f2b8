"""Follow the power of steady noise under speech, by minimum statistics.

The power is smoothed, and its lowest value of the last second or more is the noise (after Martin, "Noise
power spectral density estimation based on optimal smoothing and minimum statistics", IEEE TSAP, 2001, with
one constant smoothing and one constant bias).
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SMOOTHING_SECONDS = 0.025
WARM_SECONDS = 0.06
"""Time at the beginning of a signal in which the smoothed power itself is taken for noise."""

SECONDS = 1.2
BIAS = 1.6
"""Mean power of noise over its lowest smoothed power."""

PARTS = 8
"""Number of parts that the time of a lowest value is divided into; whole parts are forgotten."""


class NoiseFloor:
    """Estimate the mean power of noise at points of time, element by element.

    Args:
        seconds: Time between two points.
    """

    def __init__(self, seconds: float) -> None:
        self._smooth, self._lowest = Smooth(seconds, SMOOTHING_SECONDS), Lowest(SECONDS / seconds)
        self._warm = round(WARM_SECONDS / seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._smooth.reset()
        self._lowest.reset()
        self._cold = self._warm  # points that are left until the power is smooth

    def __call__(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the noise at the next points, for their power ``[point, ...]``."""
        floor = self._smooth(power)
        cold = min(self._cold, len(power))
        self._cold -= cold
        if cold < len(power):
            floor = np.concatenate([floor[:cold], self._lowest(floor[cold:])])
        return np.float32(BIAS) * floor


class Smooth:
    """Smooth values in time with one pole, element by element.

    Args:
        seconds: Time between two points.
        time_constant: Time constant in seconds; 0 changes nothing.
    """

    def __init__(self, seconds: float, time_constant: float) -> None:
        self._keep = math.exp(-seconds / time_constant) if time_constant > 0 else 0.0
        self.reset()

    def reset(self) -> None:
        """Forget all values."""
        self._last: NDArray[np.float32] | None = None

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next values ``[value, ...]`` smoothed; the first of all begins at itself."""
        if not len(values) or not self._keep:
            return values
        before = values[0] if self._last is None else self._last
        flat = np.concatenate([before[np.newaxis], values]).reshape(len(values) + 1, -1)
        smooth = (_smoothing(len(values), self._keep) @ flat).reshape(values.shape)
        self._last = smooth[-1]
        return smooth


class Lowest:
    """Return the lowest of the last values, element by element.

    Args:
        count: Number of values.
    """

    def __init__(self, count: float) -> None:
        self._length = max(1, round(count / PARTS))
        self.reset()

    def reset(self) -> None:
        """Forget all values."""
        self._number = 0  # of values in this part
        self._parts: deque[NDArray[np.float32]] = deque(maxlen=PARTS)  # lowest values of earlier parts
        self._past: NDArray[np.float32] | None = None  # the lowest of these
        self._part: NDArray[np.float32] | None = None

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the lowest value up to each of the next ones ``[value, ...]``."""
        lowest = np.empty_like(values)
        start = 0
        while start < len(values):
            if self._number == self._length and self._part is not None:
                self._parts.append(self._part)
                self._past = np.minimum.reduce(self._parts)
                self._number, self._part = 0, None
            taken = slice(start, start + self._length - self._number)
            part = values[taken]
            if self._part is not None:
                part = np.concatenate([self._part[np.newaxis], part])
            part = np.minimum.accumulate(part)[-len(values[taken]) :]
            self._part = part[-1]
            self._number += len(part)
            lowest[taken] = part if self._past is None else np.minimum(part, self._past)
            start += len(part)
        return lowest


@lru_cache(maxsize=64)
def _smoothing(count: int, keep: float) -> NDArray[np.float32]:
    """Return the matrix that turns a last value and `count` new ones into as many smoothed ones."""
    ages = np.arange(1, count + 1)[:, None] - np.arange(count + 1)
    weights = np.where(ages < 0, 0, keep ** np.maximum(ages, 0))
    weights[:, 1:] *= 1 - keep
    return weights.astype(np.float32)
