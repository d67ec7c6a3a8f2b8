"""Measure what a model leaves of its input, in six bands and in the upper part of its band.

The gain of the upper part, from half to 0.85 of the band's width, is the share that the model leaves there,
as an amplitude: 1 where it passes all, 0 where it removes all, and never above 1. In short parts of time it
follows the model within some milliseconds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EDGES = (0.04, 0.1, 0.18, 0.3, 0.5, 0.67, 0.85)
"""Limits of the bands, as shares of the band that signal and model have in common."""

UPPER = 4
"""Number of the first band of the upper part."""

SMOOTHING_SECONDS = 0.003
"""Time constant of the gain in parts of less than twice as long; longer ones need no smoothing."""

SILENT = 1e-10
"""Mean square below which the upper part is not measured, and the gain stays as it is."""


class Measured(NamedTuple):
    """Powers that a model gets and leaves in each band, in parts of time, and its gain.

    Attributes:
        lines: Gain in the upper part of the band at the begin and at the end of each part, float32
            [part, channel, 2], in [0, 1].
        heard: Mean power of the model's input in each band, float32 [part, channel, band].
        left: Mean power of its output, the same shape.
    """

    lines: NDArray[np.float32]
    heard: NDArray[np.float32]
    left: NDArray[np.float32]

    @property
    def gain(self) -> NDArray[np.float32]:
        """Gain at the end of each part ``[part, channel]``."""
        return self.lines[..., 1]


class ModelGain:
    """Measure part by part.

    Args:
        model_hz: Sample rate of the model in Hz.
        rate_hz: Sample rate of the stream in Hz.
        part: Number of samples that each value is measured over, at the model's rate.
    """

    def __init__(self, model_hz: int, rate_hz: int, part: int) -> None:
        self._part = part
        self._waves, self._means = _matrices(model_hz, rate_hz, part)
        times = part / model_hz / SMOOTHING_SECONDS
        self._keep = math.exp(-times) if times < 2 else 0.0
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._last: list[float] | None = None  # gain of each channel

    def __call__(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> Measured:
        """Measure the next parts of a model's output and input, aligned, ``[channel, parts * part]``."""
        both = np.concatenate([enhanced, heard]).reshape(-1, self._part)
        power = np.square(both.dot(self._waves)).dot(self._means).reshape(2, len(heard), -1, len(EDGES))
        left, had = power[0].swapaxes(0, 1), power[1].swapaxes(0, 1)
        lines = self._smoothed(left[..., -1].tolist(), had[..., -1].tolist())
        return Measured(np.array(lines, np.float32), had[..., :-1], left[..., :-1])

    def _smoothed(self, left: list[list[float]], had: list[list[float]]) -> list[list[tuple[float, float]]]:
        """Return the gain at both ends of each part, from powers ``[part][channel]`` of the upper part.

        For few values Python's numbers take less time than NumPy's arrays.
        """
        keep, lines = self._keep, []
        last = self._last
        for after, before in zip(left, had, strict=True):
            if last is None:
                last = [
                    _gain(*powers) if powers[1] > SILENT else 1.0
                    for powers in zip(after, before, strict=True)
                ]
            line = []
            for channel, old in enumerate(last):
                new = old
                if before[channel] > SILENT:
                    new = keep * old + (1 - keep) * _gain(after[channel], before[channel])
                line.append((old, new))
            lines.append(line)
            last = [new for _, new in line]
        self._last = last
        return lines


def _gain(after: float, before: float) -> float:
    return math.sqrt(min(after / before, 1.0))


@lru_cache(maxsize=16)
def _matrices(model_hz: int, rate_hz: int, part: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what streams of one kind share.

    Returns:
        Waves of a windowed transform ``[sample, wave]``; the weight of each squared result in the mean power
        of each band, and last of the upper part, ``[wave, band + 1]``.
    """
    window = np.hanning(part + 2)[1:-1]
    width = part * min(model_hz, rate_hz) / 2 / model_hz  # of the common band, in bins
    limits = [max(1, round(edge * width)) for edge in EDGES]
    bins = np.arange(limits[0], max(limits) + 1)
    inside = (bins[:, None] >= limits[:-1]) & (bins[:, None] < limits[1:])
    inside[-1, -1] = True  # the last band holds its upper limit
    counts = inside.sum(axis=0)
    waves = np.exp(-2j * np.pi / part * np.arange(part)[:, None] * bins) * window[:, None]
    parts = np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)
    shares = counts[UPPER:] / counts[UPPER:].sum()  # of the bands in the upper part
    means = inside / np.maximum(counts, 1) / np.sum(window**2)
    means = np.column_stack([means, means[:, UPPER:] @ shares])
    return parts, np.concatenate([means, means]).astype(np.float32)
