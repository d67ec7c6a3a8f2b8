"""The log mel spectrogram against PyTorch's transform and the mel formula, and what it does not hear."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quality.networks import PUBLISHED
from sese.predictor.design import Design
from sese.predictor.spectrum import FLOOR, LEVEL, log_mel

DESIGN = Design(seconds=1.0, bands=64)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, DESIGN.samples).astype(np.float32)


def test_powers_are_those_of_torch_stft():
    audio = noise()
    level = LEVEL / np.sqrt(np.mean(audio.astype(np.float64) ** 2))
    spectrum = torch.stft(
        torch.from_numpy(audio * np.float32(level)),
        DESIGN.fft,
        DESIGN.hop,
        window=torch.hann_window(DESIGN.fft),
        center=False,
        return_complex=True,
    )
    frequencies = np.fft.rfftfreq(DESIGN.fft, 1 / DESIGN.sample_rate)
    mel = 1127.0 * np.log1p(frequencies / 700)  # another way to write the scale
    centres = np.linspace(0, 1127.0 * np.log1p(8000 / 700), DESIGN.bands + 2)
    hertz = 700 * np.expm1(centres / 1127.0)
    assert mel[-1] == pytest.approx(centres[-1])
    expected = np.empty((DESIGN.bands, DESIGN.frames))
    for band in range(DESIGN.bands):
        triangle = np.interp(frequencies, hertz[band : band + 3], [0, 1, 0])
        expected[band] = triangle @ (spectrum.abs() ** 2).double().numpy()
    np.testing.assert_allclose(log_mel(audio, DESIGN), np.log(expected + FLOOR), atol=2e-3)


def test_a_tone_is_in_its_band():
    for hertz in (300.0, 1000.0, 4000.0):
        tone = np.sin(2 * np.pi * hertz * np.arange(DESIGN.samples) / DESIGN.sample_rate)
        loudest = log_mel(tone.astype(np.float32), DESIGN).mean(1).argmax()
        band = np.log1p(hertz / 700) / np.log1p(8000 / 700) * (DESIGN.bands + 1) - 1
        assert abs(loudest - band) <= 1


def test_level_is_not_heard():
    np.testing.assert_allclose(log_mel(noise(), DESIGN), log_mel(noise() * 0.01, DESIGN), atol=1e-3)


def test_shapes_and_silence():
    assert log_mel(np.zeros(PUBLISHED.samples), PUBLISHED).shape == (120, 249)
    assert np.isfinite(log_mel(np.zeros(DESIGN.samples), DESIGN)).all()
