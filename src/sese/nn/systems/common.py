"""What systems that work on bands of spectra ask of their values."""

from __future__ import annotations

from collections.abc import Sequence

from sese.errors import InputError


def check_bands(bands: Sequence[Sequence[int]], n_fft: int, hop_length: int) -> None:
    """Check bands, pairs of (bands, bins in each) from low to high, and the window that they divide.

    Raises:
        InputError: the window is not two hops long, or the bands do not fill it.
    """
    if n_fft != 2 * hop_length:
        raise InputError(f"model.n_fft is {n_fft}; use two hops, {2 * hop_length}")
    if any(len(pair) != 2 or min(pair) < 1 or pair[1] % 2 for pair in bands):
        raise InputError(f"model.bands is {bands}; give pairs of (bands, even number of bins in each)")
    if sum(count * bins for count, bins in bands) != n_fft // 2:
        raise InputError(f"model.bands is {bands}; the bins must sum to {n_fft // 2}")
