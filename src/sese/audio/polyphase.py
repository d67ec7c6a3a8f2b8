"""Resample live streams with short filters, so that a sample waits for only 2 ms.

The filter is a sinc in a Kaiser window of 4 ms. It stops frequencies above half the lower rate by 70 dB, and
passes everything up to 1.1 kHz below: up to 6.9 kHz between 48 and 16 kHz. Steeper filters are longer: files
have those of `sese.audio.resample`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

REACH_SECONDS = 0.002
"""Length of the filter before and after a sample, in seconds."""

ATTENUATION_DB = 70.0
AT_ONCE = 2048
"""Number of output samples, and phases of a filter, computed at a time, to need little memory."""

LARGEST_MATRIX = 1 << 19
"""Number of weights of a whole period up to which it is computed as one product of matrices."""

FEWEST_AT_ONCE = 16
"""Number of samples that a row of such a product makes at least: so few rows hold the same input twice."""


class ShortResampler:
    """Change the sample rate of a signal that is fed block by block; equal rates pass through.

    As in `sese.audio.resample.Resampler`, output sample ``k`` lies at the same time as input sample
    ``k * source_hz / target_hz``, `flush` returns the samples that were held back, and any division into
    blocks gives the same result. Sample ``k`` is returned as soon as `reach` input samples after its time
    are fed.

    Args:
        source_hz: Sample rate of the input, in Hz.
        target_hz: Sample rate of the output, in Hz.
        channels: Number of channels.
    """

    def __init__(self, source_hz: int, target_hz: int, channels: int) -> None:
        self.source_hz, self.target_hz, self.channels = source_hz, target_hz, channels
        common = math.gcd(source_hz, target_hz)
        self._up, self._down = target_hz // common, source_hz // common
        self.reach = reach(source_hz, target_hz)
        self._small = self._up * (2 * self.reach + self._down) <= LARGEST_MATRIX
        if self._small:
            times = -(-FEWEST_AT_ONCE // min(self._up, self._down))
            self._up, self._down = times * self._up, times * self._down
        self.reset()

    def reset(self) -> None:
        """Forget the signal."""
        self._fed = self._returned = 0
        # Input from sample `_begin` on, which later samples need.
        self._begin = 1 - self.reach
        self._heard = np.zeros((max(self.reach - 1, 0), self.channels), np.float32)

    def feed(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take ``[frame, channel]`` and return the resampled ``[frame, channel]`` that are ready."""
        self._fed += len(block)
        ready = -(-max(self._fed - self.reach, 0) * self._up // self._down)
        if self._up == self._down:
            self._returned = ready
            return block
        heard = np.concatenate([self._heard, block])
        if ready > self._returned:
            made = (self._by_period if self._small else self._by_sample)(heard, ready)
            self._returned = ready
        else:
            made = np.zeros((0, self.channels), np.float32)
        next_one = self._returned // self._up * self._up if self._small else self._returned
        keep = next_one * self._down // self._up + 1 - self.reach  # beginning of the next window
        drop = min(max(keep - self._begin, 0), len(heard))
        self._heard = heard[drop:].copy()
        self._begin += drop
        return made

    def _by_period(self, heard: NDArray[np.float32], ready: int) -> NDArray[np.float32]:
        """Return the next output samples, whole periods of `_up` of them as one product of matrices."""
        period = _period(self._up, self._down, self.reach)
        first, end = self._returned // self._up, -(-ready // self._up)
        start = first * self._down + 1 - self.reach - self._begin  # in `heard`
        # What lies behind the input has no weight in the samples that are ready.
        missing = max(start + (end - first - 1) * self._down + len(period) - len(heard), 0)
        if missing:
            heard = np.concatenate([heard, np.zeros((missing, self.channels), np.float32)])
        size, channels = heard.itemsize, self.channels
        windows: NDArray[np.float32] = np.ndarray(
            (end - first, channels, len(period)),
            np.float32,
            heard,
            start * channels * size,
            (self._down * channels * size, size, channels * size),
        )
        made = np.empty((end - first, self._up, channels), np.float32)
        step = max(1, AT_ONCE // self._up)
        for at in range(0, len(made), step):
            part = np.ascontiguousarray(windows[at : at + step])
            made[at : at + step] = (part @ period).swapaxes(1, 2)
        begin = first * self._up
        return made.reshape(-1, channels)[self._returned - begin : ready - begin]

    def _by_sample(self, heard: NDArray[np.float32], ready: int) -> NDArray[np.float32]:
        """Return the next output samples, each by the kernel of its position."""
        made = np.empty((ready - self._returned, self.channels), np.float32)
        kernels = _kernels(self._up, self._down, self.reach)
        windows = sliding_window_view(heard, 2 * self.reach, axis=0)  # [frame, channel, tap]
        for start in range(0, len(made), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            at = np.arange(len(made[part])) + self._returned + start
            before, phase = np.divmod(at * self._down, self._up)
            taken = windows[before + 1 - self.reach - self._begin]
            made[part] = np.einsum("kct,kt->kc", taken, kernels[phase])
        return made

    def flush(self, total: int | None = None) -> NDArray[np.float32]:
        """Return the frames that are missing from `total` in all, and start afresh.

        Args:
            total: Number of frames of the whole output; by default those that cover the input,
                ``ceil(fed * target_hz / source_hz)``.
        """
        if total is None:
            total = -(-self._fed * self.target_hz // self.source_hz)
        missing = max(0, total - self._returned)
        end = -(-total * self.source_hz // self.target_hz) + self.reach + 1
        silence = np.zeros((max(0, end - self._fed), self.channels), np.float32)
        rest = self.feed(silence)[:missing]
        self.reset()
        return rest


def reach(source_hz: int, target_hz: int) -> int:
    """Return how many input samples after its time an output sample waits for; 0 at equal rates."""
    return 0 if source_hz == target_hz else math.ceil(REACH_SECONDS * source_hz)


def ready_samples(fed: NDArray[np.int64], source_hz: int, target_hz: int) -> NDArray[np.int64]:
    """Return how many output samples have been returned in all after `fed` input samples."""
    common = math.gcd(source_hz, target_hz)
    behind = np.maximum(fed - reach(source_hz, target_hz), 0)
    return -(-behind * (target_hz // common) // (source_hz // common))


@lru_cache(maxsize=16)
def _kernels(up: int, down: int, reach: int) -> NDArray[np.float32]:
    """Return the taps ``[phase, tap]`` for every position of an output sample between two input samples.

    Positions are in input samples: the taps of phase ``p`` lie at ``1 - reach ... reach``, the output sample
    at ``p / up``.
    """
    taps = np.arange(1 - reach, reach + 1)
    highest = min(1.0, up / down)  # half the lower rate, over half the source's
    # Kaiser's formulas: the width of the transition, and the shape of the window.
    width = (ATTENUATION_DB - 7.95) / (2.285 * math.pi * (2 * reach))
    cut = highest - width / 2
    beta = 0.1102 * (ATTENUATION_DB - 8.7)
    made = np.empty((up, 2 * reach), np.float32)
    for start in range(0, up, AT_ONCE):  # rates without a common factor have very many phases
        at = taps - np.arange(start, min(start + AT_ONCE, up))[:, None] / up
        window = np.i0(beta * np.sqrt(np.maximum(1 - (at / reach) ** 2, 0))) / np.i0(beta)
        kernels = cut * np.sinc(cut * at) * window
        made[start : start + AT_ONCE] = kernels / kernels.sum(axis=1, keepdims=True)
    return made


@lru_cache(maxsize=16)
def _period(up: int, down: int, reach: int) -> NDArray[np.float32]:
    """Return the matrix ``[tap, sample]`` that turns input into one or more periods, `up` output samples.

    The first tap lies ``reach - 1`` input samples before the first output sample.
    """
    common = math.gcd(up, down)
    kernels = _kernels(up // common, down // common, reach)
    before, phase = np.divmod(np.arange(up) * (down // common), up // common)
    matrix = np.zeros((2 * reach + int(before[-1]), up), np.float32)
    for sample, start in enumerate(before):
        matrix[start : start + 2 * reach, sample] = kernels[phase[sample]]
    return matrix
