"""Measure the gain of a model in the upper part of its band, from half to 0.85 of its width.

The gain is the share that the model leaves there, as an amplitude: 1 where it passes all, 0 where it removes
all, and never above 1. It follows the model within some milliseconds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BAND = (0.5, 0.85)
"""Limits of the part that is measured, as shares of the band that signal and model have in common."""

SMOOTHING_SECONDS = 0.003
SILENT = 1e-10
"""Mean square below which a part is not measured, and the gain stays as it is."""


class ModelGain:
    """Measure gains part by part.

    Args:
        model_hz: Sample rate of the model in Hz.
        rate_hz: Sample rate of the stream in Hz.
        part: Number of samples that each gain is measured over, at the model's rate.
        lookahead: Number of samples, at the model's rate, by which its first frame begins before the signal.
        linked: True: all channels get the same gains, from the sum of their energies.

    Attributes:
        skipped: Number of parts from before the signal.
    """

    def __init__(self, model_hz: int, rate_hz: int, part: int, lookahead: int, linked: bool) -> None:
        self._part, self._linked = part, linked
        self.skipped = lookahead // part
        window = np.hanning(part + 2)[1:-1]
        width = part * min(model_hz, rate_hz) / 2 / model_hz  # of the common band, in bins
        low, high = (max(1, round(edge * width)) for edge in BAND)
        bins = np.arange(low, max(low, high) + 1)
        self._silent = SILENT * float(np.sum(window**2)) * len(bins)
        waves = np.exp(-2j * np.pi / part * np.arange(part)[:, None] * bins) * window[:, None]
        self._waves = np.concatenate([waves.real, waves.imag], axis=1)
        self._keep = math.exp(-part / model_hz / SMOOTHING_SECONDS)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._parts = 0
        self._last: NDArray[np.float32] | None = None  # [channel]

    def add(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next parts of a model's output and input, aligned, ``[channel, parts * part]``.

        Returns:
            Gain at the end of each part, ``[part, channel]``, or ``[part, 1]`` if linked. Parts from before
            the signal have none. The first part of the signal has one at its beginning as well.
        """
        left, had = self._energy(enhanced), self._energy(heard)
        early = min(max(0, self.skipped - self._parts), len(left))
        self._parts += len(left)
        left, had = left[early:], had[early:]
        if not len(left):
            return left.astype(np.float32)
        silent = had <= self._silent * (len(heard) if self._linked else 1)
        shares = np.sqrt(np.minimum(left / np.where(silent, 1, had), 1))
        first = self._last is None
        start = np.where(silent[0], 1, shares[0]) if self._last is None else self._last
        gains = np.empty((len(left) + 1, left.shape[1]), np.float32)
        for channel, begin in enumerate(start.tolist()):
            each = (shares[:, channel].tolist(), silent[:, channel].tolist())
            gains[:, channel] = _smoothed(begin, *each, self._keep)
        self._last = gains[-1]
        return gains if first else gains[1:]

    def _energy(self, audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the energy of the measured band ``[part, channel]``; one channel if linked."""
        # In single precision a loud band below would leave too little of a quiet one.
        bins = audio.reshape(len(audio), -1, self._part) @ self._waves
        energy = np.einsum("cpb,cpb->pc", bins, bins)
        return np.sum(energy, axis=1, keepdims=True) if self._linked else energy


def _smoothed(start: float, shares: list[float], silent: list[bool], keep: float) -> list[float]:
    """Return shares smoothed in time after a start value, which is the first; silent ones change nothing."""
    values = [start]
    for share, still in zip(shares, silent, strict=True):
        values.append(values[-1] if still else keep * values[-1] + (1 - keep) * share)
    return values
