"""Transforms by products of small matrices, beside NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from sese.runtime.transform import Transform

SIZES = [
    (2, 0),
    (6, 1),
    (8, 4),
    (10, 1),
    (15, 2),
    (16, 2),
    (30, 0),
    (96, 11),
    (720, 130),
    (768, 126),
    (2048, 300),
]


def signals(size: int) -> np.ndarray:
    return np.random.default_rng(size).normal(size=(3, size)).astype(np.float32)


@pytest.mark.parametrize(("size", "first"), SIZES)
def test_powers_of_bins_are_those_of_numpy(size: int, first: int) -> None:
    transform, audio = Transform(size, first), signals(size)
    parts = np.square(transform.forward(audio)).reshape(3, -1, 2).sum(axis=2) * transform.weights
    powers = np.zeros((3, size // 2 + 1))
    np.add.at(powers, (slice(None), transform.bins), parts)
    expected = np.abs(np.fft.rfft(audio.astype(np.float64))) ** 2
    expected[:, :first] = 0
    np.testing.assert_allclose(powers, expected, atol=2e-6 * expected.max())


@pytest.mark.parametrize(("size", "first"), SIZES)
def test_signals_of_spectra_are_those_of_numpy(size: int, first: int) -> None:
    """Gains that differ from bin to bin give what they give with NumPy's transforms."""
    transform, audio = Transform(size, first), signals(size)
    gains = np.random.default_rng(1).random(size // 2 + 1)
    gains[:first] = 0
    spectra = transform.forward(audio) * np.repeat(gains[transform.bins], 2).astype(np.float32)
    expected = np.fft.irfft(np.fft.rfft(audio.astype(np.float64)) * gains, size)
    np.testing.assert_allclose(transform.inverse(spectra), expected, atol=5e-6)
