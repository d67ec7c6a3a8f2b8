"""Hold the delay between two sound cards whose clocks differ.

The number of samples that wait to be played grows or shrinks by some millionths. Its lowest value in each
second counts, as blocks come in bursts. Where this value is far from the wanted one, chunks are made a sample
shorter or longer, by interpolation, until it is right again: a change of pitch of some thousandths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHORTEST_FRAMES = 100
"""Length below which chunks are not changed, as a sample is too large a part of them."""


class Drift:
    """Make chunks a sample shorter or longer where that is needed.

    Args:
        wanted_frames: Wanted lowest number of frames that wait to be played.
        sample_rate: Sample rate in Hz.
        channels: Number of channels.

    Attributes:
        corrected_samples: Number of samples inserted or left out so far.
    """

    def __init__(self, wanted_frames: int, sample_rate: int, channels: int) -> None:
        self._wanted, self._window = wanted_frames, sample_rate
        self._tolerance = max(wanted_frames // 2, sample_rate // 100)
        self._before = np.zeros((1, channels), np.float32)
        self._change = 0
        self.corrected_samples = 0
        self.restart()

    def restart(self) -> None:
        """Forget the measurements; playing begins again."""
        self._lowest: int | None = None
        self._passed = 0

    def see(self, waiting: int) -> None:
        """Note how many frames wait to be played, after each block that was played."""
        self._lowest = waiting if self._lowest is None else min(self._lowest, waiting)

    def __call__(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the chunk ``[frame, channel]``, or the same sound in one frame less or more."""
        self._passed += len(chunk)
        if self._passed >= self._window and self._lowest is not None:
            self._decide(self._lowest - self._wanted)
            self.restart()
        if self._change and len(chunk) >= SHORTEST_FRAMES:
            chunk, last = self._stretched(chunk), chunk[-1:]
            self._before = last
            self.corrected_samples += 1
        elif len(chunk):
            self._before = chunk[-1:]
        return chunk

    def _decide(self, excess: int) -> None:
        """Begin to correct a large excess; continue until it is right."""
        if abs(excess) > self._tolerance:
            self._change = -1 if excess > 0 else 1
        elif excess * self._change >= 0:  # a change of -1 has an excess to take away
            self._change = 0

    def _stretched(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        count = len(chunk) + self._change
        # From after the last sample of the previous chunk to the last of this one.
        places = np.arange(1, count + 1) * (len(chunk) / count)
        line = np.concatenate([self._before, chunk])
        below = np.minimum(places.astype(int), len(chunk) - 1)
        share = (places - below)[:, None].astype(np.float32)
        return (1 - share) * line[below] + share * line[below + 1]
