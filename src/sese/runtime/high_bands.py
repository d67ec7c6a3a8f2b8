"""Split the input above a model's band into narrow bands, and apply a gain to each.

The bands are a sixth of an octave wide, from half the model's sample rate to three times as much. The last
one ends at half the stream's rate.

Gains are given at points of time, at most 8 ms apart. At each the signal around it is transformed, from one
neighbour to the other, under the root of a Hann window. The filtered signals overlap under the same window.
Nothing waits for them: they reach only as far ahead as the input is ahead of the model's output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sese.audio.polyphase import REACH_SECONDS

BANDS_PER_OCTAVE = 6
HIGHEST = 3.0
"""Begin of the last band at most, as a multiple of the end of the model's band."""

LONGEST_SECONDS = 0.008
"""Distance of two points at most."""

FEWEST_SAMPLES = 8
"""Number of samples, at the model's rate, that two points are apart at least."""

STOP_DB = 70.0


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
        spacing: Largest distance of two points in samples of the stream. As many samples before and after a
            point decide on its gains.
        frame: Length of a frame in samples, rounded up.
        even: Whether all points are equally far apart in samples of the stream.
        close: Whether the points are close enough for filters. A hop without such a divisor has no parts.
        skipped: Number of the first point; the signal begins at this point or later, before the next one.
    """

    def __init__(self, model_hz: int, rate_hz: int, hop: int, lookahead: int) -> None:
        ratio = rate_hz / model_hz
        # Resampling to the model's rate waits for the second term.
        ahead = (lookahead - 1) * ratio + math.ceil(REACH_SECONDS * rate_hz)
        longest = max(1, math.floor(min(ahead, math.ceil(LONGEST_SECONDS * rate_hz))))
        fewest = math.ceil(hop * ratio / longest)
        divisors = (n for n in range(fewest, hop // FEWEST_SAMPLES + 1) if hop % n == 0)
        parts = next(divisors, 0)
        self.close = parts > 0
        self.part = hop // max(parts, 1)
        self.seconds = self.part / model_hz
        self._model_hz, self._rate_hz, self._lookahead = model_hz, rate_hz, lookahead
        self.spacing = math.ceil(self.part * ratio)
        self.even = self.part * rate_hz % model_hz == 0
        self.frame = math.ceil(hop * ratio)
        self.skipped = lookahead // self.part

    def at(self, first: int, count: int) -> list[int]:
        """Return the samples, counted in the signal, of points counted from the model's first frame on."""
        # Halves go up. `round` sends them to either side, so two points lie further apart than `spacing`.
        begin, end = (number * self.part - self._lookahead for number in (first, first + count))
        if self.even:
            start = self._sample(begin)
            return list(range(start, start + count * self.spacing, self.spacing))
        return [self._sample(place) for place in range(begin, end, self.part)]

    def _sample(self, place: int) -> int:
        return (2 * place * self._rate_hz + self._model_hz) // (2 * self._model_hz)


class HighBands:
    """Filter a signal by gains that change over time and frequency.

    For the next points of time, `take` the power of each band and `apply` gains to them.

    Args:
        spacing: Largest distance of two points in samples.
        edges_hz: Edges of the bands, see `edges`.
        rate_hz: Sample rate of the signal in Hz.
    """

    def __init__(self, spacing: int, edges_hz: NDArray[np.float64], rate_hz: int) -> None:
        self._spacing = spacing
        self._size = _quick_size(2 * spacing)
        self._first, self._response, self._means = _matrices(spacing, self._size, tuple(edges_hz), rate_hz)

    def take(self, audio: NDArray[np.float32], at: list[int]) -> NDArray[np.float32]:
        """Return the mean power in each band around points of time, ``[point, channel, band]``.

        Args:
            audio: The signal ``[channel, time]``; it reaches `spacing` samples beyond each point.
            at: Samples in `audio` of the next points, of the one before and of the one after them.
        """
        spacing, count, channels = self._spacing, len(at) - 2, len(audio)
        distances = [after - before for before, after in pairwise(at)]
        self._windows = [_root_hann(spacing, before, after) for before, after in pairwise(distances)]
        blocks = np.zeros((count * channels, self._size), np.float32)
        for number, window in enumerate(self._windows):
            here = at[number + 1]
            around = audio[:, here - spacing : here + spacing]
            np.multiply(around, window, out=blocks[number * channels :][:channels, : 2 * spacing])
        spectra = np.fft.rfft(blocks)[:, self._first :].astype(np.complex64)
        self._spectra = spectra.view(np.float32)  # real and imaginary parts in turn
        return np.square(self._spectra).dot(self._means).reshape(count, channels, -1)

    def apply(self, gains: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Return the filtered signal around each of the points taken, to be added up, ``[channel, time]``.

        Args:
            gains: Gains at the points, ``[point, channel, band]``.
        """
        count, channels, bands = gains.shape
        filtered = np.zeros((count * channels, self._size // 2 + 1), np.complex64)
        parts = gains.reshape(-1, bands).dot(self._response)
        np.multiply(parts, self._spectra, out=filtered.view(np.float32)[:, 2 * self._first :])
        made = np.fft.irfft(filtered, self._size).astype(np.float32, copy=False)
        made = made.reshape(count, channels, -1)[..., : 2 * self._spacing]
        return (made[number] * window for number, window in enumerate(self._windows))


@lru_cache(maxsize=64)
def _root_hann(spacing: int, before: int, after: int) -> NDArray[np.float32]:
    """Return the root of a Hann window [1, time] from one neighbour of a point to the other, else 0."""
    offset = np.arange(-spacing, spacing)
    part = np.abs(offset) / np.where(offset < 0, before, after)
    return np.cos(np.pi / 2 * np.minimum(part, 1)).astype(np.float32)[np.newaxis]


@lru_cache(maxsize=16)
def _matrices(
    spacing: int, size: int, edges: tuple[float, ...], rate_hz: int
) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
    """Return what streams of one kind share.

    Returns:
        The first bin that a band hears; from there on, for the real and the imaginary part of each bin, the
        response of each band ``[band, 2 * bin]``, and the weight of the square in the mean power of each band
        ``[2 * bin, band]``.
    """
    edges_hz = np.array(edges)
    response = _responses(edges_hz, rate_hz, max(1, spacing // 2), size)
    frequency = np.arange(size // 2 + 1) * rate_hz / size
    first = int(np.argmax(np.abs(response).max(axis=0) > 10 ** (-STOP_DB / 20)))
    inside = (frequency >= edges_hz[:-1, None]) & (frequency < edges_hz[1:, None])
    counts = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    means = inside / counts / spacing  # the energy of the window
    response, means = (np.repeat(values[:, first:], 2, axis=1) for values in (response, means))
    return first, response, np.ascontiguousarray(means.T, np.float32)


def _quick_size(least: int) -> int:
    """Return the lowest even number from `least` on without prime factors above 5."""
    size = least + least % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


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
