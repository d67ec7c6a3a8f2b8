"""Gain for the band above the model's own, which follows the band below.

In each frame the share that the model leaves of the upper part of its band, from half to 0.85 of its width,
is measured as an amplitude: 1 where the model passes all, 0 where it removes all, and never above 1. The gain
is this share, smoothed. It rises within a frame when speech sets in, falls more slowly, and moves in straight
lines between frames.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

AboveChoice = Literal["follow", "drop"]
"""Treatment of the band above: attenuated as the band below, or removed."""

CHOICES: tuple[str, ...] = get_args(AboveChoice)
FOLLOW = "follow"

BAND = (0.5, 0.85)
"""Limits of the part that is measured, as shares of the band that signal and model have in common."""

RISE_SECONDS, FALL_SECONDS = 0.004, 0.03
SILENT = 1e-10
"""Mean square below which a frame is not measured, and the gain stays as it is."""


class BandAbove:
    """Compute gains at the rate of a stream from the input and the output of a model.

    Args:
        model_hz: Sample rate of the model in Hz.
        rate_hz: Sample rate of the stream in Hz.
        hop: Number of samples in a frame, at the model's rate.
        lookahead: Number of samples, at the model's rate, by which its first frame begins before the signal.
        linked: True: all channels get one gain, from the sum of their energies.
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
        """Take the model's next output frames and the input frames that they belong to.

        Args:
            enhanced: Output of the model, ``[channel, frames * hop]``.
            heard: Input of the model, the same shape, aligned with the output.
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
        """Return the gains of the stream's next samples ``[channel, count]``, or ``[1, count]`` if linked."""
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
        """Return the share left, in [0, 1], and whether the frame was silent, each ``[frame, channel]``."""
        left, had = (self._energy(audio) for audio in (enhanced, heard))
        silent = had <= self._silent * len(enhanced) if self._linked else had <= self._silent
        return np.sqrt(np.minimum(left / np.where(silent, 1.0, had), 1.0)), silent

    def _energy(self, audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the energy of the measured band ``[frame, channel]``; one channel if linked."""
        frames = audio.reshape(len(audio), -1, self._hop) * self._window
        bins = np.fft.rfft(frames)[..., self._bins]
        energy = np.sum(bins.real**2 + bins.imag**2, axis=-1, dtype=np.float64).T
        return np.sum(energy, axis=1, keepdims=True) if self._linked else np.asarray(energy)
