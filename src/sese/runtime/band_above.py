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
from sese.runtime.model_gain import Measured, ModelGain

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
        # What is ready, and after the last point what the bands have added so far.
        self._made = np.zeros((self._channels, spacing), np.float32)

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
        length = AT_ONCE * self._points.part
        if heard.shape[1] <= length:
            return self._add(enhanced, heard)
        pieces = (slice(start, start + length) for start in range(0, heard.shape[1], length))
        return np.concatenate([self._add(enhanced[:, piece], heard[:, piece]) for piece in pieces], axis=1)

    def read(self, count: int) -> NDArray[np.float32]:
        """Return what to add to the next `count` samples ``[channel, count]``, which must have been added."""
        ready, self._made = self._made[:, :count], self._made[:, count:]
        return ready

    def _add(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> NDArray[np.float32]:
        """Do what `add` does, for at most `AT_ONCE` points."""
        part, parts = self._points.part, heard.shape[1] // self._points.part
        early = min(max(0, self._points.skipped - self._parts), parts)  # before the signal
        first, self._parts = self._parts + early, self._parts + parts
        if early == parts:
            return enhanced
        before, enhanced, heard = (
            enhanced[:, : early * part],
            enhanced[:, early * part :],
            heard[:, early * part :],
        )
        measured = self._gain(enhanced, heard)
        self._treat(self._points.at(first, parts - early + 2), measured)
        followed = _straight(measured.lines, part)
        followed *= heard
        np.subtract(enhanced, followed, out=followed)
        return np.concatenate([before, followed], axis=1) if early else followed

    def _treat(self, at: list[int], measured: Measured) -> None:
        """Compute the samples from the first point of `at`, where the last call ended, to the second last."""
        bands, spacing, begin = self._bands, self._points.spacing, self._begin
        start, end = at[0], at[-2]
        if self._points.even:
            gains = _straight(measured.lines, spacing)
        else:
            counts = (after - before for before, after in pairwise(at))
            parts = [line.dot(_ramp(count)) for line, count in zip(measured.lines, counts, strict=False)]
            gains = np.concatenate(parts, axis=-1)
        old = self._made
        made = np.zeros((self._channels, old.shape[1] + end - start), np.float32)
        origin = old.shape[1] - spacing - start  # of the stream, in `made`
        moving = made[:, origin + start : origin + end]
        np.multiply(gains, self._input[:, start - begin : end - begin], out=moving)
        made[:, : old.shape[1]] += old
        if bands is not None:
            power = bands.take(self._input, [place - begin for place in at])
            gains = self.head(power, measured.heard, measured.left) - measured.lines[..., 1:]
            for before, here, added in zip(at, at[1:], bands.apply(gains), strict=False):
                made[:, origin + before : origin + here + spacing] += added[:, spacing + before - here :]
        self._made = made[:, -start:] if start < 0 else made  # the first point lies before the signal
        drop = max(0, at[-1] - spacing - begin)
        self._input, self._begin = self._input[:, drop:], begin + drop


def _straight(lines: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return straight lines ``[channel, points * count]``, each of so many samples.

    Args:
        lines: Begin and end of each, ``[point, channel, 2]``.
        count: Number of samples.
    """
    points, channels, _ = lines.shape
    made = lines.reshape(-1, 2).dot(_ramp(count)).reshape(points, channels, count)
    return made.swapaxes(0, 1).reshape(channels, -1)


@lru_cache(maxsize=16)
def _ramp(count: int) -> NDArray[np.float32]:
    """Return the matrix that makes so many samples of a straight line from its begin and its end."""
    places = np.arange(count) / count
    return np.stack([1 - places, places]).astype(np.float32)
