"""Mel filter banks: the two mel scales in use, and triangles between their edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def htk_edges(lowest_hz: float, highest_hz: float, bands: int) -> NDArray[np.float64]:
    """Return edges of bands that are equally spaced on the mel scale 2595 log10(1 + f / 700).

    Args:
        lowest_hz: lowest edge in Hz.
        highest_hz: highest edge in Hz.
        bands: number of bands.

    Returns:
        Frequencies in Hz, [bands + 2]: a band begins at one, peaks at the next and ends at the one after.
    """
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (lowest_hz, highest_hz))
    return 700 * (10 ** (np.linspace(lowest, highest, bands + 2) / 2595) - 1)


def slaney_edges(highest_hz: float, bands: int) -> NDArray[np.float64]:
    """Return edges of bands from 0 Hz that are equally spaced on Slaney's mel scale.

    The scale is linear below 1 kHz, which is 15 mel, and logarithmic above.

    Args:
        highest_hz: highest edge in Hz, 1000 or more.
        bands: number of bands.

    Returns:
        Frequencies in Hz, [bands + 2], as in `htk_edges`.
    """
    highest = 15 + 27 * np.log(highest_hz / 1000) / np.log(6.4)
    mel = np.linspace(0, highest, bands + 2)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def bin_frequencies(fft: int, sample_rate: int) -> NDArray[np.float64]:
    """Return the frequencies in Hz of the bins of a real Fourier transform of `fft` samples, [bin]."""
    return np.arange(fft // 2 + 1) * sample_rate / fft


def triangles(edges: NDArray[np.float64], bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return triangular filters of height 1.

    Args:
        edges: frequencies in Hz, [band + 2].
        bins: frequencies of the bins in Hz, [bin].

    Returns:
        Weights of the bins, [band, bin].

    Example:
        >>> triangles(np.array([0.0, 2.0, 4.0]), np.arange(5.0)).tolist()
        [[0.0, 0.5, 1.0, 0.5, 0.0]]
    """
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rise, fall))
