"""PESQ and ESTOI as losses."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import sese
from sese.core.errors import InputError
from sese.evaluation.metrics import estoi, pesq_wb
from sese.training.config import parse
from sese.training.estoi import unintelligibility
from sese.training.pesq import disturbance

SPEECH = Path(sese.__file__).parent / "export" / "noisy_speech.flac"

Loss = Callable[[Tensor, Tensor], Tensor]

both = pytest.mark.parametrize("loss", [disturbance, unintelligibility])


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


@pytest.mark.parametrize(
    ("loss", "measure", "level"), [(disturbance, pesq_wb, 0.003), (unintelligibility, estoi, 0.03)]
)
def test_the_gradient_raises_the_measure(
    speech: Tensor, loss: Loss, measure: Callable[..., float], level: float
):
    tested = speech + level * noise(speech)
    window = torch.hann_window(512)
    spectrum = torch.stft(tested, 512, window=window, return_complex=True)
    gains = torch.zeros(spectrum.shape, requires_grad=True)
    optimizer = torch.optim.Adam([gains], lr=0.05)
    for _ in range(10):
        changed = torch.istft(spectrum * gains.exp(), 512, window=window, length=speech.shape[1])
        optimizer.zero_grad()
        loss(changed, speech).backward()
        optimizer.step()
    before, after = (measure(speech[0].numpy(), x.detach()[0].numpy(), 16_000) for x in (tested, changed))
    assert after > before + 0.05


@both
def test_clips_without_speech_are_left_out(speech: Tensor, loss: Loss):
    estimate = torch.cat([speech + 0.01 * noise(speech), 0.1 * noise(speech)]).requires_grad_()
    of_both = loss(estimate, torch.cat([speech, torch.zeros_like(speech)]))
    assert of_both.item() == pytest.approx(loss(estimate[:1], speech).item(), rel=1e-5)
    of_both.backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()
    assert not estimate.grad[1].any()
    assert loss(estimate[1:], torch.zeros_like(speech)).item() == 0


@both
def test_an_estimate_of_zeros_has_a_gradient(speech: Tensor, loss: Loss):
    estimate = torch.zeros_like(speech).requires_grad_()
    loss(estimate, speech).backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


@pytest.mark.parametrize("name", ["pesq", "estoi"])
def test_it_is_refused_at_another_rate(name: str):
    model = {"sample_rate": 48000, "n_fft": 1536, "hop_length": 768, "bands": [[16, 8], [8, 16], [8, 64]]}
    with pytest.raises(InputError, match=f"48000 Hz .* {name}"):
        parse({"system": "spectral_mixer", "model": model, "training": {"losses": {name: 1.0}}})


def test_nothing_disturbs_on_the_clean_signal(speech: Tensor):
    assert disturbance(speech, speech).item() < 0.03


def test_levels_do_not_disturb(speech: Tensor):
    tested = speech + 0.01 * noise(speech)
    expected = disturbance(tested, speech).item()
    assert disturbance(0.1 * tested, speech).item() == pytest.approx(expected, rel=1e-3)
    assert disturbance(tested, 3 * speech).item() == pytest.approx(expected, rel=1e-3)


def test_disturbance_is_near_what_pesq_takes(speech: Tensor):
    tested = [speech + level * noise(speech) for level in (0.0003, 0.001, 0.003, 0.01, 0.03)]
    tested += [gated(speech, gain) for gain in (0.1, 0.3, 3.0)]
    ours = np.array([disturbance(x, speech).item() for x in tested])
    theirs = np.array([taken(x, speech) for x in tested])
    assert np.abs(ours - theirs).max() < 0.07, (ours, theirs)


def test_disturbance_of_a_short_clip_is_finite(speech: Tensor):
    assert disturbance(speech[:, :1200] + 0.01 * noise(speech[:, :1200]), speech[:, :1200]).isfinite()


@pytest.mark.parametrize("level", [0.0, 0.003, 0.01, 0.03, 0.1])
def test_unintelligibility_is_near_the_measure(speech: Tensor, level: float):
    tested = speech + level * noise(speech)
    expected = 1 - estoi(speech[0].numpy(), tested[0].numpy(), 16_000)
    assert unintelligibility(tested, speech).item() == pytest.approx(expected, abs=0.012)


def test_clips_shorter_than_a_segment_of_estoi_are_left_out(speech: Tensor):
    short = speech[:, :4000]
    assert unintelligibility(short + 0.01 * noise(short), short).item() == 0
