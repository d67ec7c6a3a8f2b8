"""Add what lies above a model's band, which the model does not hear.

What resampling loses just below the end of that band gets the gain of the model in its upper part, see
`sese.runtime.model_gain`. Above that end, narrow bands have gains of their own: a small network chooses them,
see `sese.runtime.band_head`, and `sese.runtime.high_bands` applies them. All gains move in straight lines
between points of time.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from sese.runtime.band_head import BandHead
from sese.runtime.high_bands import AT_ONCE, HighBands, Points, edges
from sese.runtime.model_gain import ModelGain

AboveChoice = Literal["follow", "drop"]
"""Treatment of the band above: attenuated as speech and noise in the band below, or removed."""

CHOICES: tuple[str, ...] = get_args(AboveChoice)
FOLLOW = "follow"


class Head(Protocol):
    """Choose the gains of the narrow bands at points of time, which are fed in order."""

    def reset(self) -> None:
        """Forget the signal."""

    def __call__(
        self, above: NDArray[np.float32], heard: NDArray[np.float32], left: NDArray[np.float32], /
    ) -> NDArray[np.float32]:
        """Return gains for the mean powers of the bands above, and of the model's input and output."""


class BandAbove:
    """Compute what to add to a model's output at the rate of a stream.

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
        self._gain = ModelGain(model_hz, rate_hz, self._points.part, lookahead)
        self._channels = channels
        self._bands: HighBands | None = None
        band_edges = edges(model_hz, rate_hz)
        if len(band_edges) and self._points.close:
            self._bands = HighBands(self._points, band_edges, rate_hz, channels)
        self.seconds = self._points.seconds
        self.head: Head = BandHead(self.seconds)
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._gain.reset()
        self.head.reset()
        if self._bands is not None:
            self._bands.reset()
        self._next: int | None = None  # next point
        self._at: NDArray[np.int64] = np.zeros(0, np.int64)  # samples of the points that `read` needs
        self._gains = np.zeros((0, self._channels), np.float32)  # model's gain there [point, channel]
        self._given = 0

    def feed(self, audio: NDArray[np.float32]) -> None:
        """Take the next samples of the stream's input ``[channel, time]``."""
        if self._bands is not None:
            self._bands.feed(audio)

    def finish(self) -> None:
        """End the input: what follows is silence."""
        self.feed(np.zeros((self._channels, self._points.frame + self._points.reach + 1), np.float32))

    def add(self, enhanced: NDArray[np.float32], heard: NDArray[np.float32]) -> None:
        """Take the model's next output frames and the input frames that they belong to.

        Args:
            enhanced: Output of the model, ``[channel, frames * hop]``.
            heard: Input of the model, the same shape, aligned with the output.
        """
        measured = self._gain.add(enhanced, heard)
        gains = measured.gain
        if not len(gains):
            return
        number = self._gain.skipped if self._next is None else self._next
        self._next = number + len(gains)
        at = self._points.at(np.arange(number - 1, self._next + 1))
        self._at = np.concatenate([self._at, at[1:-1]])
        self._gains = np.concatenate([self._gains, gains])
        if self._bands is None:
            return
        for start in range(0, len(gains), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            power = self._bands.take(at[start : start + AT_ONCE + 2])
            early = int(at[1:-1][part].searchsorted(self._points.reach))  # before the signal is no noise
            # The rest of the input has the model's gain already.
            more = np.zeros_like(power)
            if early < len(power):
                chosen = self.head(power[early:], measured.heard[part][early:], measured.left[part][early:])
                more[early:] = chosen - gains[part, :, None][early:]
            self._bands.apply(more)

    def read(self, rest: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what to add to the model's output.

        Args:
            rest: The next samples of what resampling loses of the input, ``[channel, time]``.
        """
        at = np.arange(self._given, self._given + rest.shape[1])
        self._given += rest.shape[1]
        if not len(self._at):
            return rest
        gains = np.array([np.interp(at, self._at, gain) for gain in self._gains.T], np.float32)
        done = int(self._at.searchsorted(self._given, side="right")) - 1
        if done > 0:
            self._at, self._gains = self._at[done:], self._gains[done:]
        added = gains * rest
        return added if self._bands is None else added + self._bands.read(rest.shape[1])
