"""Holding the delay between two sound cards whose clocks do not agree.

What waits to be played grows or shrinks by some millionths. Its lowest mark of each second is what counts, as
blocks come in bursts. When the mark is far off what was meant to wait, chunks are made a sample shorter or
longer, by interpolation, until it is right again: a change of pitch of some thousandths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHORTEST_FRAMES = 100
"""Chunks below are left alone: a sample is too much of them."""


class Drift:
    """Makes chunks a sample shorter or longer where that is needed.

    Args:
        wanted_frames: What is to wait to be played when it is least.
        sample_rate: In Hz.
        channels: Number of channels.

    Attributes:
        corrected_samples: Samples put in or left out so far.
    """

    def __init__(self, wanted_frames: int, sample_rate: int, channels: int) -> None:
        self._wanted, self._window = wanted_frames, sample_rate
        self._tolerance = max(wanted_frames // 2, sample_rate // 100)
        self._before = np.zeros((1, channels), np.float32)
        self._change = 0
        self.corrected_samples = 0
        self.restart()

    def restart(self) -> None:
        """Forget what was seen: playing begins anew."""
        self._lowest: int | None = None
        self._passed = 0

    def see(self, waiting: int) -> None:
        """Say how many frames wait to be played, behind each block that was."""
        self._lowest = waiting if self._lowest is None else min(self._lowest, waiting)

    def __call__(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take ``[frame, channel]`` and return it, or the same in a frame less or more."""
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
        """Begin where it is far off; go on until it is right."""
        if abs(excess) > self._tolerance:
            self._change = -1 if excess > 0 else 1
        elif excess * self._change >= 0:  # a change of -1 has an excess to take away
            self._change = 0

    def _stretched(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        count = len(chunk) + self._change
        # From behind the last sample of the chunk before to the last of this one.
        places = np.arange(1, count + 1) * (len(chunk) / count)
        line = np.concatenate([self._before, chunk])
        below = np.minimum(places.astype(int), len(chunk) - 1)
        share = (places - below)[:, None].astype(np.float32)
        return (1 - share) * line[below] + share * line[below + 1]
