"""Resample a signal that arrives in blocks, aligned to the sample."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray


class Resampler:
    """Change the sample rate of a signal that is fed block by block; equal rates pass through.

    Output sample ``k`` lies at the same time as input sample ``k * source_hz / target_hz``: there is no
    delay to remove, and `flush` returns the samples that were held back. Any division into blocks gives the
    same result.

    Args:
        source_hz: Sample rate of the input, in Hz.
        target_hz: Sample rate of the output, in Hz.
        channels: Number of channels.
    """

    def __init__(self, source_hz: int, target_hz: int, channels: int) -> None:
        self.source_hz = source_hz
        self.target_hz = target_hz
        self.channels = channels
        self._soxr = None
        if source_hz != target_hz:
            self._soxr = soxr.ResampleStream(source_hz, target_hz, channels, dtype="float32", quality="HQ")
        self._fed = 0
        self._returned = 0

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take ``[frame, channel]`` and return the resampled ``[frame, channel]`` that are ready."""
        self._fed += len(block)
        if self._soxr is not None and len(block):
            block = self._soxr.resample_chunk(np.ascontiguousarray(block))
        self._returned += len(block)
        return block

    def flush(self, total: int | None = None) -> NDArray[np.float32]:
        """Return the frames that are missing from `total` in all, and start afresh.

        Args:
            total: Number of frames of the whole output; by default those that cover the input,
                ``ceil(fed * target_hz / source_hz)``.
        """
        if total is None:
            total = -(-self._fed * self.target_hz // self.source_hz)
        missing = max(0, total - self._returned)
        if self._soxr is None:
            rest = np.zeros((missing, self.channels), np.float32)
        else:
            # soxr rounds its length to the nearest sample, which can be one too few (or none at all for a
            # short signal); some silence after the signal ensures that there is enough.
            silence = max(
                0, -(-total * self.source_hz // self.target_hz) + self.source_hz // 1000 - self._fed
            )
            rest = self._soxr.resample_chunk(np.zeros((silence, self.channels), np.float32), last=True)[
                :missing
            ]
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget the signal."""
        self._fed = self._returned = 0
        if self._soxr is not None:
            self._soxr.clear()
