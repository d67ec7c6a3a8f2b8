from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import sese
from sese.core.errors import InputError
from sese.evaluation.metrics import pesq_wb
from sese.training.config import parse
from sese.training.pesq import disturbance

SPEECH = Path(sese.__file__).parent / "export" / "noisy_speech.flac"


@pytest.fixture(scope="module")
def speech() -> Tensor:
    audio, _ = soundfile.read(SPEECH, dtype="float32")
    return torch.from_numpy(audio)[None]


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))


def taken(estimate: Tensor, clean: Tensor) -> float:
    """Return what PESQ itself takes from its raw score, by the mapping of P.862.2 backwards."""
    score = pesq_wb(clean[0].numpy(), estimate[0].numpy(), 16_000)
    return 4.5 - (3.8224 - log(4 / (score - 0.999) - 1)) / 1.3669


def gated(signal: Tensor, gain: float) -> Tensor:
    """Return the signal with a gain on 1 to 3 kHz that comes and goes: no equaliser makes up for it."""
    window = torch.hann_window(512)
    gains = torch.ones(257, 1)
    gains[32:96] = gain
    spectrum = torch.stft(signal, 512, window=window, return_complex=True)
    changed = torch.istft(spectrum * gains, 512, window=window, length=signal.shape[1])
    return torch.where(torch.arange(signal.shape[1]) // 4000 % 2 == 0, changed, signal)


def test_nothing_disturbs_on_the_clean_signal(speech: Tensor):
    assert disturbance(speech, speech).item() < 0.03


def test_levels_change_nothing(speech: Tensor):
    tested = speech + 0.01 * noise(speech)
    expected = disturbance(tested, speech).item()
    assert disturbance(0.1 * tested, speech).item() == pytest.approx(expected, rel=1e-3)
    assert disturbance(tested, 3 * speech).item() == pytest.approx(expected, rel=1e-3)


def test_it_is_near_what_pesq_takes(speech: Tensor):
    tested = [speech + level * noise(speech) for level in (0.0003, 0.001, 0.003, 0.01, 0.03)]
    tested += [gated(speech, gain) for gain in (0.1, 0.3, 3.0)]
    ours = np.array([disturbance(x, speech).item() for x in tested])
    theirs = np.array([taken(x, speech) for x in tested])
    assert np.abs(ours - theirs).max() < 0.07, (ours, theirs)


def test_its_gradient_raises_pesq(speech: Tensor):
    tested = speech + 0.003 * noise(speech)
    window = torch.hann_window(512)
    spectrum = torch.stft(tested, 512, window=window, return_complex=True)
    gains = torch.zeros(spectrum.shape, requires_grad=True)
    optimizer = torch.optim.Adam([gains], lr=0.05)
    for _ in range(10):
        changed = torch.istft(spectrum * gains.exp(), 512, window=window, length=speech.shape[1])
        optimizer.zero_grad()
        disturbance(changed, speech).backward()
        optimizer.step()
    before, after = (pesq_wb(speech[0].numpy(), x.detach()[0].numpy(), 16_000) for x in (tested, changed))
    assert after > before + 0.05


def test_clips_without_speech_are_left_out(speech: Tensor):
    estimate = torch.cat([speech + 0.01 * noise(speech), 0.1 * noise(speech)]).requires_grad_()
    loss = disturbance(estimate, torch.cat([speech, torch.zeros_like(speech)]))
    assert loss.item() == pytest.approx(disturbance(estimate[:1], speech).item(), rel=1e-5)
    loss.backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()
    assert not estimate.grad[1].any()
    assert disturbance(estimate[1:], torch.zeros_like(speech)).item() == 0


def test_an_estimate_of_zeros_has_a_gradient(speech: Tensor):
    estimate = torch.zeros_like(speech).requires_grad_()
    disturbance(estimate, speech).backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


def test_short_clips_are_one_group(speech: Tensor):
    assert disturbance(speech[:, :1200] + 0.01 * noise(speech[:, :1200]), speech[:, :1200]).isfinite()


def test_it_is_refused_at_another_rate():
    with pytest.raises(InputError, match="48000 Hz"):
        parse(
            {
                "system": "spectral_mixer",
                "model": {
                    "sample_rate": 48000,
                    "n_fft": 1536,
                    "hop_length": 768,
                    "bands": [[16, 8], [8, 16], [8, 64]],
                },
                "training": {"losses": {"pesq": 1.0}},
            }
        )
