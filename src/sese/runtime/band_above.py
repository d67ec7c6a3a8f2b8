"""The gain for what the model does not hear: the band above its own, which follows the band below.

In each frame the share that the model leaves of the upper part of its band, from half to 0.85 of its width,
is measured as an amplitude: 1 where it passes all, 0 where it removes all, and never above 1. That share,
smoothed, is the gain. It rises within a frame when speech sets in and falls more slowly, and between frames
it moves in straight lines.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FOLLOW, DROP = "follow", "drop"
CHOICES = (FOLLOW, DROP)

BAND = (0.5, 0.85)
"""Where the share is measured, of the width of the band that the signal and the model have in common."""

RISE_SECONDS, FALL_SECONDS = 0.004, 0.03
SILENT = 1e-10
"""Mean square below which a frame has nothing to measure, and the gain stays as it is."""


class BandAbove:
    """Gains at the rate of a stream, from what a model heard and what it made of it.

    Args:
        model_hz: Sample rate of the model.
        rate_hz: Sample rate of the stream.
        hop: Samples a frame, at the model's rate.
        lookahead: Samples at the model's rate by which its first frame begins before the signal.
        linked: Whether all channels get the gain of their energies' sum.
    """

    def __init__(self, model_hz: int, rate_hz: int, hop: int, lookahead: int, linked: bool) -> None:
        self._model_hz, self._rate_hz = model_hz, rate_hz
        self._hop, self._lookahead, self._linked = hop, lookahead, linked
        self._window = np.hanning(hop + 2)[1:-1].astype(np.float32)
        width = hop * min(model_hz, rate_hz) / 2 / model_hz  # of the common band, in bins
        low, high = (max(1, round(edge * width)) for edge in BAND)
        self._bins = slice(low, max(low, high) + 1)
        self._silent = SILENT * float(np.sum(self._window**2)) * (self._bins.stop - low)
        self._rise, self._fall = (math.exp(-hop / model_hz / t) for t in (RISE_SECONDS, FALL_SECONDS))
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._frames = self._given = 0
        self._last: NDArray[np.float64] | None = None
        self._ends: list[int] = []  # samples at the model's rate, counted in the signal
        self._gains: list[NDArray[np.float64]] = []  # at these ends, each [channel], or [1] if linked

    def add(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> None:
        """Take the model's next frames and the input that they were made of, aligned.

        Args:
            enhanced: ``[channel, frames * hop]``.
            heard: The same.
        """
        for share, silent in zip(*self._shares(enhanced, heard), strict=True):
            self._frames += 1
            end = self._frames * self._hop - self._lookahead
            if end <= 0:
                continue
            if self._last is None:  # the signal's first frame has nothing to be smoothed with
                self._last = np.where(silent, 1.0, share)
                self._ends.append(end - self._hop)
                self._gains.append(self._last)
            keep = np.where(share > self._last, self._rise, self._fall)
            self._last = np.where(silent, self._last, keep * self._last + (1 - keep) * share)
            self._ends.append(end)
            self._gains.append(self._last)

    def read(self, count: int) -> NDArray[np.float32]:
        """Gains of the stream's next samples ``[channel, count]``, or ``[1, count]`` if linked."""
        at = np.arange(self._given, self._given + count) * (self._model_hz / self._rate_hz)
        self._given += count
        if not self._gains:
            return np.ones((1, count), np.float32)
        gains = np.array(self._gains).T
        read = np.stack([np.interp(at, self._ends, gain) for gain in gains])
        next_one = self._given * self._model_hz / self._rate_hz
        done = int(np.searchsorted(self._ends, next_one, side="right")) - 1
        if done > 0:
            del self._ends[:done], self._gains[:done]
        return read.astype(np.float32)

    def _shares(
        self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """``[frame, channel]``: the share left, in [0, 1], and whether there was nothing to measure."""
        left, had = (self._energy(audio) for audio in (enhanced, heard))
        silent = had <= self._silent * len(enhanced) if self._linked else had <= self._silent
        return np.sqrt(np.minimum(left / np.where(silent, 1.0, had), 1.0)), silent

    def _energy(self, audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """``[frame, channel]`` of the measured band; one channel if linked."""
        frames = audio.reshape(len(audio), -1, self._hop) * self._window
        bins = np.fft.rfft(frames)[..., self._bins]
        energy = np.sum(bins.real**2 + bins.imag**2, axis=-1, dtype=np.float64).T
        return np.sum(energy, axis=1, keepdims=True) if self._linked else np.asarray(energy)
