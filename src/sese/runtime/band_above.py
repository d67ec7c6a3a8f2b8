"""Treat what lies above a model's band, which the model does not hear.

What resampling loses just below the end of that band gets the gain of the model in its upper part, see
`sese.runtime.model_gain`. Above that end, narrow bands have gains of their own: a small network chooses them,
see `sese.runtime.band_head`, and `sese.runtime.high_bands` applies them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.band_head import BandHead
from sese.runtime.high_bands import HighBands, Points, edges
from sese.runtime.model_gain import ModelGain

AboveChoice = Literal["follow", "drop"]
"""Treatment of the band above: attenuated as speech and noise in the band below, or removed."""

CHOICES: tuple[str, ...] = get_args(AboveChoice)
FOLLOW = "follow"

LOUDEST = 1e15
"""Highest sample: float32 holds the powers of signals up to here."""

AT_ONCE = 256
"""Number of points of time that are computed together, to need little memory."""


class Head(Protocol):
    """Choose the gains of the narrow bands at points of time, which are fed in order."""

    def reset(self) -> None:
        """Forget the signal."""

    def __call__(
        self, above: NDArray[np.float32], heard: NDArray[np.float32], left: NDArray[np.float32], /
    ) -> NDArray[np.float32]:
        """Return gains for the mean powers of the bands above, and of the model's input and output."""


class BandAbove:
    """Compute what a stream has above a model's band.

    `feed` the stream's input and `add` the model's frames. The result is the sum of what `add` returns, once
    it is resampled to the stream's rate, and of what `read` returns. Let g be the model's gain: that sum is
    the model's output, less g times what the model heard, and g times the stream's input. So a model that
    passes everything passes every frequency. The narrow bands add what their gains differ from g.

    All gains move in straight lines between points of time.

    Args:
        model_hz: Sample rate of the model in Hz.
        rate_hz: Sample rate of the stream in Hz.
        hop: Number of samples in a frame, at the model's rate.
        lookahead: Number of samples, at the model's rate, by which its first frame begins before the signal.
        channels: Number of channels.

    Attributes:
        seconds: Time between two points.
        head: Chooses the gains of the narrow bands from their powers and from the model's input and output.
    """

    def __init__(self, model_hz: int, rate_hz: int, hop: int, lookahead: int, channels: int) -> None:
        self._points = Points(model_hz, rate_hz, hop, lookahead)
        self._gain = ModelGain(model_hz, rate_hz, self._points.part)
        self._channels = channels
        self._bands: HighBands | None = None
        band_edges = edges(model_hz, rate_hz)
        if len(band_edges) and self._points.close:
            self._bands = HighBands(self._points.spacing, band_edges, rate_hz)
        self.seconds = self._points.seconds
        self.head: Head = BandHead(self.seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._gain.reset()
        self.head.reset()
        self._parts = 0  # of the model's frames so far
        spacing = self._points.spacing
        self._begin = -2 * spacing  # sample of the first column of `_input`
        self._input = np.zeros((self._channels, 2 * spacing), np.float32)
        self._last: NDArray[np.float32] | None = None  # model's gain at the last point [1, channel]
        self._tail = np.zeros((self._channels, spacing), np.float32)  # of the bands, after the last point
        self._ready = np.zeros((self._channels, 0), np.float32)

    def check(self, audio: NDArray[np.float32]) -> None:
        """Raise InputError where the stream's input is too loud for powers in float32."""
        peak = np.abs(audio).max(initial=0)
        if peak > LOUDEST:
            raise InputError(f"audio has peak {peak:.3g}; scale it to [-1, 1]")

    def feed(self, audio: NDArray[np.float32]) -> None:
        """Take the next samples of the stream's input ``[channel, time]``."""
        self._input = np.concatenate([self._input, audio], axis=1)

    def finish(self) -> None:
        """End the input: what follows is silence."""
        self.feed(np.zeros((self._channels, self._points.frame + self._points.spacing + 1), np.float32))

    def add(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the model's next output frames and the input frames that they belong to.

        Args:
            enhanced: Output of the model, ``[channel, frames * hop]``.
            heard: Input of the model, the same shape, aligned with the output.

        Returns:
            The model's output less its gain times its input, the same shape.
        """
        part, parts = self._points.part, heard.shape[1] // self._points.part
        early = min(max(0, self._points.skipped - self._parts), parts)  # before the signal
        first, self._parts = self._parts + early, self._parts + parts
        if early == parts:
            return enhanced
        heard = heard[:, early * part :]
        measured = self._gain(enhanced[:, early * part :], heard)
        gain = measured.gain
        before = np.concatenate([gain[:1] if self._last is None else self._last, gain[:-1]])
        self._last = gain[-1:]
        at = self._points.at(first, len(gain) + 2)
        for start in range(0, len(gain), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            self._treat(at[start : start + AT_ONCE + 2], before[some], *(each[some] for each in measured))
        followed = _moving(before.T[..., None], gain.T[..., None], part).reshape(heard.shape)
        followed *= heard
        if not early:
            return enhanced - followed
        return np.concatenate([enhanced[:, : early * part], enhanced[:, early * part :] - followed], axis=1)

    def read(self, count: int) -> NDArray[np.float32]:
        """Return what to add to the next `count` samples ``[channel, count]``, which must have been added."""
        ready, self._ready = self._ready[:, :count], self._ready[:, count:]
        return ready

    def _treat(
        self,
        at: list[int],
        before: NDArray[np.float32],
        gain: NDArray[np.float32],
        heard: NDArray[np.float32],
        left: NDArray[np.float32],
    ) -> None:
        """Compute the samples from the first point of `at`, where the last call ended, to the second last."""
        bands, spacing, begin = self._bands, self._points.spacing, self._begin
        if bands is not None:
            power = bands.take(self._input, [place - begin for place in at])
            filtered = bands.apply(self.head(power, heard, left) - gain[..., None])
        parts = [self._ready]
        for number, (start, end) in enumerate(pairwise(at[:-1])):
            moving = _moving(before[number, :, None], gain[number, :, None], end - start)
            moving *= self._input[:, start - begin : end - begin]
            if bands is not None:
                moving += self._tail[:, : end - start]
                moving += filtered[number, :, spacing - (end - start) : spacing]
                self._tail = filtered[number, :, spacing:]
            parts.append(moving[:, max(0, -start) :])
        self._ready = np.concatenate(parts, axis=1)
        drop = max(0, at[-1] - spacing - begin)
        self._input, self._begin = self._input[:, drop:], begin + drop


def _moving(begin: NDArray[np.float32], end: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return values on the straight lines from one gain to the next, with a last axis of so many samples."""
    return begin + (end - begin) * _ramp(count)


@lru_cache(maxsize=16)
def _ramp(count: int) -> NDArray[np.float32]:
    """Return the places of samples between two points, from 0 on."""
    return (np.arange(count) / count).astype(np.float32)
