"""Input of a quality predictor: a log mel spectrogram at a steady level, with NumPy alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sese.audio.mel import bin_frequencies, htk_edges, triangles
from sese.predictor.design import Design

VERSION = 1  # raise when the numbers change: spectrograms are kept in caches
LEVEL = 0.05  # RMS that every clip is brought to: PESQ, too, does not hear how loud a clip is
QUIETEST = 1e-5  # RMS below which nothing is raised further
FLOOR = 1e-6  # of the power of a band; -60 dB or so below a band of speech
CENTRE, SPREAD = -4.0, 4.0  # of the logarithms, about: what the network takes as 0 and as 1


def log_mel(audio: NDArray[np.floating], design: Design) -> NDArray[np.float32]:
    """Return the natural logarithm of the mel powers of a clip: float32 [band, frame].

    Whole frames only, periodic Hann window, triangles equally spaced on the mel scale 2595 log10(1 + f/700)
    from 0 to half the sample rate, of height 1.

    Args:
        audio: [time] at `design.sample_rate`, a frame or longer.
        design: sizes of the frames and the number of bands.
    """
    audio = np.asarray(audio, np.float32)
    level = max(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))), QUIETEST)
    frames = np.lib.stride_tricks.sliding_window_view(audio * np.float32(LEVEL / level), design.fft)
    window, filters = _tables(design.sample_rate, design.fft, design.bands)
    spectrum = np.fft.rfft(frames[:: design.hop] * window, axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return np.log(filters @ power.T + np.float32(FLOOR))


@lru_cache(maxsize=4)
def _tables(sample_rate: int, fft: int, bands: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the window [time] and the filters [band, bin]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
    edges = htk_edges(0, sample_rate / 2, bands)
    filters = triangles(edges, bin_frequencies(fft, sample_rate))
    return window.astype(np.float32), filters.astype(np.float32)
