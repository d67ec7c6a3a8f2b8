"""Find the voiced frames of a recording and their pitch, without a network.

A frame is voiced where its autocorrelation, below 1 kHz, has a clear peak at a period of the human voice.
That finds vowels in enhanced speech; music and animals have such frames too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 65.0, 400.0
BAND_HZ = 1000.0
FRAME_S, HOP_S = 0.048, 0.016
CLEAR = 0.75
"""Height of a peak, of 1, from which a frame counts as voiced."""

RANGE_DB = 30.0
"""Frames so much weaker than the loud ones of a recording are pauses."""

LEFT_DB = 15.0
"""Frames so much weaker than the noisy recording are what an enhancer left of its noise."""


@dataclass(frozen=True)
class Voice:
    """Voiced frames of a recording.

    Attributes:
        frames: number of frames of the recording, one every 16 ms.
        pitch_hz: pitch of the voiced frames in Hz, in order.
    """

    frames: int
    pitch_hz: NDArray[np.float64]

    @property
    def share(self) -> float:
        """Return the share of the frames that are voiced."""
        return len(self.pitch_hz) / self.frames if self.frames else 0.0

    @property
    def median_hz(self) -> float:
        """Return the median pitch in Hz; NaN without a voiced frame."""
        return float(np.median(self.pitch_hz)) if len(self.pitch_hz) else float("nan")


def listen(audio: NDArray[np.float32], sample_rate: int, noisy: NDArray[np.float32] | None = None) -> Voice:
    """Find the voiced frames of audio, and their pitch.

    Args:
        audio: [time], of little noise: what an enhancer made.
        sample_rate: sample rate in Hz.
        noisy: audio before enhancement; frames `LEFT_DB` below its level are residual noise.
    """
    length, hop = round(FRAME_S * sample_rate), round(HOP_S * sample_rate)
    if len(audio) < length:
        return Voice(0, np.zeros(0))
    size = 1 << (2 * length - 1).bit_length()
    window = np.hanning(length)
    below = np.fft.rfftfreq(size, 1 / sample_rate) <= BAND_HZ
    shape = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)
    shortest, longest = int(sample_rate / HIGHEST_HZ), int(sample_rate / LOWEST_HZ)
    lags = np.arange(shortest, longest + 1)
    frames = np.lib.stride_tricks.sliding_window_view(audio, length)[::hop]
    heights, periods, powers = [], [], []
    for part in np.array_split(frames, -(-len(frames) // 500)):  # of bounded memory
        power = np.abs(np.fft.rfft(part * window, size)) ** 2 * below
        correlation = np.fft.irfft(power)  # at lag 0 the energy of the windowed frame, below 1 kHz
        inside = correlation[:, lags] / shape[lags] * shape[0] / np.maximum(correlation[:, :1], 1e-12)
        best = _first_peak(inside)
        heights.append(np.take_along_axis(inside, best[:, None], 1)[:, 0])
        periods.append(lags[best])
        powers.append(correlation[:, 0])
    level = np.concatenate(powers)
    least = np.quantile(level, 0.95) * 10 ** (-RANGE_DB / 10) + 1e-9
    if noisy is not None:
        least = max(least, 10 ** (-LEFT_DB / 10) * np.mean(np.square(noisy, dtype=np.float64)) * shape[0])
    voiced = (level > least) & (np.concatenate(heights) > CLEAR)
    return Voice(len(frames), sample_rate / np.concatenate(periods)[voiced])


def _first_peak(heights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the first maximum of each row that is nearly the highest: one period, not two."""
    inner = heights[:, 1:-1]
    peaks = (inner >= heights[:, :-2]) & (inner >= heights[:, 2:])
    high = peaks & (inner >= 0.9 * np.max(np.where(peaks, inner, -np.inf), axis=1, keepdims=True))
    return np.where(high.any(1), high.argmax(1) + 1, 0)


def spread_semitones(voices: Sequence[Voice], least: int = 30) -> float:
    """Return the spread of the median pitches of pieces, from the 10th percentile to the 90th, in semitones.

    Args:
        voices: voices of pieces of some seconds.
        least: voiced frames that a piece needs to count.

    Returns:
        0 where fewer than two pieces count.
    """
    medians = np.array([voice.median_hz for voice in voices if len(voice.pitch_hz) >= least])
    if len(medians) < 2:
        return 0.0
    low, high = np.quantile(12 * np.log2(medians), (0.1, 0.9))
    return float(high - low)
