"""Measure what a model leaves of its input, in six bands and in the upper part of its band.

The gain of the upper part, from half to 0.85 of the band's width, is the share that the model leaves there,
as an amplitude: 1 where it passes all, 0 where it removes all, and never above 1. It follows the model within
some milliseconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EDGES = (0.04, 0.1, 0.18, 0.3, 0.5, 0.67, 0.85)
"""Limits of the bands, as shares of the band that signal and model have in common."""

UPPER = 4
"""Number of the first band of the upper part."""

SMOOTHING_SECONDS = 0.003
SILENT = 1e-10
"""Mean square below which the upper part is not measured, and the gain stays as it is."""


class Measured(NamedTuple):
    """Powers that a model gets and leaves in each band at points of time, and its gain.

    Attributes:
        gain: Gain in the upper part of the band, float32 [point, channel], in [0, 1].
        heard: Mean power of the model's input in each band, float32 [point, channel, band].
        left: Mean power of its output, the same shape.
    """

    gain: NDArray[np.float32]
    heard: NDArray[np.float32]
    left: NDArray[np.float32]


class ModelGain:
    """Measure part by part.

    Args:
        model_hz: Sample rate of the model in Hz.
        rate_hz: Sample rate of the stream in Hz.
        part: Number of samples that each value is measured over, at the model's rate.
        lookahead: Number of samples, at the model's rate, by which its first frame begins before the signal.

    Attributes:
        skipped: Number of parts from before the signal.
    """

    def __init__(self, model_hz: int, rate_hz: int, part: int, lookahead: int) -> None:
        self._part = part
        self.skipped = lookahead // part
        window = np.hanning(part + 2)[1:-1]
        width = part * min(model_hz, rate_hz) / 2 / model_hz  # of the common band, in bins
        limits = [max(1, round(edge * width)) for edge in EDGES]
        bins = np.arange(limits[0], max(limits) + 1)
        inside = (bins[:, None] >= limits[:-1]) & (bins[:, None] < limits[1:])
        inside[-1, -1] = True  # the last band holds its upper limit
        counts = inside.sum(axis=0)
        waves = np.exp(-2j * np.pi / part * np.arange(part)[:, None] * bins) * window[:, None]
        self._waves = np.concatenate([waves.real, waves.imag], axis=1)
        means = inside / np.maximum(counts, 1) / np.sum(window**2)
        self._means = np.concatenate([means, means])
        self._shares = counts[UPPER:] / counts[UPPER:].sum()  # of the bands in the upper part
        self._keep = math.exp(-part / model_hz / SMOOTHING_SECONDS)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._parts = 0
        self._last: NDArray[np.float32] | None = None  # [channel]

    def add(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> Measured:
        """Take the next parts of a model's output and input, aligned, ``[channel, parts * part]``.

        Returns:
            Values at the end of each part. Parts from before the signal have none. The first part of the
            signal has one at its beginning as well.
        """
        power = self._power(np.concatenate([enhanced, heard]).reshape(2, *heard.shape))
        early = min(max(0, self.skipped - self._parts), power.shape[1])
        self._parts += power.shape[1]
        power = power[:, early:]
        if not power.shape[1]:
            none = power[0].astype(np.float32)
            return Measured(none[..., 0], none, none)
        left, had = power[..., UPPER:] @ self._shares
        silent = had <= SILENT
        shares = np.sqrt(np.minimum(left / np.where(silent, 1, had), 1))
        first = self._last is None
        start = np.where(silent[0], 1, shares[0]) if self._last is None else self._last
        gains = np.empty((len(left) + 1, left.shape[1]), np.float32)
        for channel, begin in enumerate(start.tolist()):
            each = (shares[:, channel].tolist(), silent[:, channel].tolist())
            gains[:, channel] = _smoothed(begin, *each, self._keep)
        self._last = gains[-1]
        bands = power.astype(np.float32)
        if first:
            bands = np.concatenate([bands[:, :1], bands], axis=1)
        return Measured(gains if first else gains[1:], bands[1], bands[0])

    def _power(self, audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the mean power in each band ``[signal, part, channel, band]``."""
        # In single precision a loud band below would leave too little of a quiet one.
        parts = audio.reshape(*audio.shape[:2], -1, self._part)
        return np.asarray(np.square(parts @ self._waves) @ self._means).swapaxes(1, 2)


def _smoothed(start: float, shares: list[float], silent: list[bool], keep: float) -> list[float]:
    """Return shares smoothed in time after a start value, which is the first; silent ones change nothing."""
    values = [start]
    for share, still in zip(shares, silent, strict=True):
        values.append(values[-1] if still else keep * values[-1] + (1 - keep) * share)
    return values
