"""Pass samples between two threads through a bounded queue."""

from __future__ import annotations

from threading import Condition

import numpy as np
from numpy.typing import NDArray


class Ring:
    """A queue of at most `capacity` frames of `channels` samples, in memory that is allocated once.

    Any thread may write and read. Only `read` with a timeout waits.
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self._frames = np.zeros((capacity, channels), np.float32)
        self._start = self._held = 0
        self._changed = Condition()

    def __len__(self) -> int:
        """Return the number of frames in the queue."""
        return self._held

    def write(self, block: NDArray[np.float32]) -> int:
        """Append ``[frame, channel]``; return the number of frames that did not fit and were left out."""
        with self._changed:
            taken = min(len(block), len(self._frames) - self._held)
            end = self._start + self._held
            places = np.arange(end, end + taken) % len(self._frames)
            self._frames[places] = block[:taken]
            self._held += taken
            self._changed.notify()
        return len(block) - taken

    def read(self, most: int, timeout: float = 0.0) -> NDArray[np.float32]:
        """Take the oldest ``[frame, channel]``, at most `most`, waiting up to `timeout` seconds for any."""
        with self._changed:
            if timeout:
                self._changed.wait_for(lambda: self._held > 0, timeout)
            taken = min(most, self._held)
            block = self._frames[np.arange(self._start, self._start + taken) % len(self._frames)]
            self._start = (self._start + taken) % len(self._frames)
            self._held -= taken
        return block
