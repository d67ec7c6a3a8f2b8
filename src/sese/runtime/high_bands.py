"""Split the input above a model's band into narrow bands, and apply a gain to each.

The bands are a sixth of an octave wide, from half the model's sample rate to three times as much. The last
one ends at half the stream's rate. Their filters have linear phase and add up to one high-pass filter.

Gains are given at points of time, about 4 ms apart, and move in straight lines between them. Nothing waits
for the filters: they reach only as far ahead as the input is ahead of the model's output.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sese.audio.polyphase import REACH_SECONDS

BANDS_PER_OCTAVE = 6
HIGHEST = 3.0
"""Begin of the last band at most, as a multiple of the end of the model's band."""

LONGEST_SECONDS = 0.008
"""Input before and after a point of time that decides on its gains, at most."""

FEWEST_SAMPLES = 8
"""Number of samples, at the model's rate, that two points are apart at least."""

STOP_DB = 70.0
AT_ONCE = 256
"""Number of points of time that are computed together, to need little memory."""


def edges(model_hz: int, rate_hz: int) -> NDArray[np.float64]:
    """Return the edges of the bands in Hz, one more than there are bands; none where the rate has no room.

    Args:
        model_hz: Sample rate of the model.
        rate_hz: Sample rate of the stream.
    """
    begin, end = model_hz / 2, rate_hz / 2
    steps = np.arange(math.floor(BANDS_PER_OCTAVE * math.log2(HIGHEST)) + 1)
    starts = begin * 2.0 ** (steps / BANDS_PER_OCTAVE)
    narrowest = begin * (2 ** (1 / BANDS_PER_OCTAVE) - 1) / 2
    starts = starts[starts <= end - narrowest]
    return np.append(starts, end) if len(starts) else np.zeros(0)


class Points:
    """Points of time at which the gains of a stream are given: each frame of a model in equal parts.

    Args:
        model_hz: Sample rate of the model in Hz.
        rate_hz: Sample rate of the stream in Hz.
        hop: Number of samples in a frame, at the model's rate.
        lookahead: Number of samples, at the model's rate, by which the input is ahead of the output.

    Attributes:
        part: Number of samples between two points, at the model's rate.
        seconds: The same in seconds.
        reach: Number of samples before and after a point that decide on its gains, at the stream's rate.
        spacing: Largest distance of two points in samples.
        frame: Length of a frame in samples, rounded up.
        close: Whether the points are close enough for filters. A hop without such a divisor has no parts.
    """

    def __init__(self, model_hz: int, rate_hz: int, hop: int, lookahead: int) -> None:
        ratio = rate_hz / model_hz
        # Resampling to the model's rate waits for the second term.
        ahead = (lookahead - 1) * ratio + math.ceil(REACH_SECONDS * rate_hz)
        self.reach = max(1, math.floor(min(ahead, LONGEST_SECONDS * rate_hz)))
        fewest = math.ceil(2 * hop * ratio / self.reach)
        divisors = (n for n in range(fewest, hop // FEWEST_SAMPLES + 1) if hop % n == 0)
        parts = next(divisors, 0)
        self.close = parts > 0
        self.part = hop // max(parts, 1)
        self.seconds = self.part / model_hz
        self._first, self._step = -lookahead * ratio, self.part * ratio
        self.spacing = math.ceil(self._step) + 1
        self.frame = math.ceil(hop * ratio)

    def at(self, number: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the samples, counted in the signal, of points counted from the model's first frame on."""
        return np.rint(self._first + number * self._step).astype(np.int64)


class HighBands:
    """Filter a signal by gains that change over time and frequency.

    `feed` the signal. For the next points of time, `take` the power of each band and `apply` gains to them;
    all input within `Points.reach` must have been fed. `read` returns the result.

    Args:
        points: Points of time of the gains.
        edges_hz: Edges of the bands, see `edges`.
        rate_hz: Sample rate of the signal in Hz.
        channels: Number of channels.
    """

    def __init__(self, points: Points, edges_hz: NDArray[np.float64], rate_hz: int, channels: int) -> None:
        self._points, self._channels = points, channels
        self._size = 2 * points.reach
        self._response = _responses(edges_hz, rate_hz, points.reach - points.spacing, self._size)
        frequency = np.arange(self._size // 2 + 1) * rate_hz / self._size
        self._first = int(np.searchsorted(frequency, edges_hz[0])) - 1  # bin; lower ones are in no band
        inside = (frequency >= edges_hz[:-1, None]) & (frequency < edges_hz[1:, None])
        counts = np.maximum(inside.sum(axis=1, keepdims=True), 1)
        # The window in `take` has a mean square of 3/2.
        means = (inside / counts / (1.5 * self._size)).astype(np.float32).T
        self._means = np.repeat(means[self._first + 1 : -1], 2, axis=0)  # for real and imaginary parts
        self._weights = lru_cache(maxsize=16)(self._weights_of)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        silence = self._size + self._points.frame  # before the signal
        self._begin = -silence  # sample of the first column of `_heard`
        self._heard = np.zeros((self._channels, silence), np.float32)
        self._given = 0
        self._ready = np.zeros((self._channels, 0), np.float32)  # from sample `_given` on
        self._at: list[int] = []  # samples of the points taken, of the one before and of the one after
        self._spectra: NDArray[np.complex64] = np.zeros(0, np.complex64)

    def feed(self, audio: NDArray[np.float32]) -> None:
        """Take the next samples ``[channel, time]``."""
        self._heard = np.concatenate([self._heard, audio], axis=1)

    def take(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the mean power in each band around points of time, ``[point, channel, band]``.

        Args:
            at: Samples of the next points, and of the one before and the one after them, see `Points.at`.
        """
        self._at = at.tolist()
        starts = [place - self._points.reach - self._begin for place in self._at[1:-1]]
        blocks = np.empty((len(starts), self._channels, self._size), np.float32)
        for block, start in zip(blocks, starts, strict=True):
            block[:] = self._heard[:, start : start + self._size]
        self._spectra = np.fft.rfft(blocks).astype(np.complex64, copy=False)
        high = self._spectra[..., self._first :]
        windowed = high[..., 1:-1] - 0.5 * (high[..., 2:] + high[..., :-2])  # by a Hann window, twice
        return np.asarray(np.square(windowed.view(np.float32)) @ self._means)

    def apply(self, gains: NDArray[np.float32]) -> None:
        """Set the gains of the points taken, ``[point, channel, band]``."""
        reach, spacing, at = self._points.reach, self._points.spacing, self._at
        filtered = np.fft.irfft(self._spectra * (gains @ self._response), self._size)
        filtered = filtered[..., reach - spacing : reach + spacing]
        missing = at[-2] + spacing - self._given - self._ready.shape[1]
        room = np.zeros((self._channels, max(0, missing)), np.float32)
        self._ready = np.concatenate([self._ready, room], axis=1)
        for before, point, after, part in zip(at, at[1:], at[2:], filtered, strict=False):
            start = point - spacing - self._given
            first = max(0, -start)  # the first points lie before the signal
            weighted = part * self._weights(point - before, after - point)
            self._ready[:, start + first : max(0, start + 2 * spacing)] += weighted[:, first:]
        drop = max(0, at[-1] - reach - self._begin)
        self._heard, self._begin = self._heard[:, drop:].copy(), self._begin + drop

    def read(self, count: int) -> NDArray[np.float32]:
        """Return the next `count` samples ``[channel, count]``; they lie before the last point applied."""
        ready, self._ready = self._ready[:, :count], self._ready[:, count:].copy()
        self._given += count
        return ready

    def _weights_of(self, before: int, after: int) -> NDArray[np.float32]:
        """Return a triangle that is 1 at a point, and 0 this many samples before and after it."""
        offset = np.arange(-self._points.spacing, self._points.spacing)
        return np.maximum(1 - np.abs(offset) / np.where(offset < 0, before, after), 0).astype(np.float32)


def _responses(edges_hz: NDArray[np.float64], rate_hz: int, reach: int, size: int) -> NDArray[np.float32]:
    """Return the real frequency response of each band ``[band, bin]``; the first begins above its edge."""
    taps = np.arange(-reach, reach + 1)
    window = np.kaiser(len(taps), 0.1102 * (STOP_DB - 8.7))
    width = (STOP_DB - 7.95) / (2.285 * 2 * math.pi * 2 * reach) * rate_hz  # Kaiser's formula
    cuts = edges_hz.copy()
    cuts[0] = min(cuts[0] + width / 2, cuts[1])
    lows = []
    for cut in cuts[:-1]:
        kernel = np.sinc(2 * cut / rate_hz * taps) * window
        lows.append(kernel / kernel.sum())
    whole = (taps == 0).astype(float)
    bands = np.diff(np.array([*lows, whole]), axis=0)
    placed = np.zeros((len(bands), size))
    placed[:, taps] = bands
    return np.fft.rfft(placed).real.astype(np.float32)
