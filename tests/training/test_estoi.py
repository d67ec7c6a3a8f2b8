from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

import sese
from sese.core.errors import InputError
from sese.evaluation.metrics import estoi
from sese.training.config import parse
from sese.training.estoi import unintelligibility

SPEECH = Path(sese.__file__).parent / "export" / "noisy_speech.flac"


@pytest.fixture(scope="module")
def speech() -> Tensor:
    audio, _ = soundfile.read(SPEECH, dtype="float32")
    return torch.from_numpy(audio)[None]


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("level", [0.0, 0.003, 0.01, 0.03, 0.1])
def test_it_is_near_the_measure(speech: Tensor, level: float):
    tested = speech + level * noise(speech)
    expected = 1 - estoi(speech[0].numpy(), tested[0].numpy(), 16_000)
    assert unintelligibility(tested, speech).item() == pytest.approx(expected, abs=0.012)


def test_its_gradient_raises_the_measure(speech: Tensor):
    tested = speech + 0.03 * noise(speech)
    window = torch.hann_window(512)
    spectrum = torch.stft(tested, 512, window=window, return_complex=True)
    gains = torch.zeros(spectrum.shape, requires_grad=True)
    optimizer = torch.optim.Adam([gains], lr=0.05)
    for _ in range(10):
        changed = torch.istft(spectrum * gains.exp(), 512, window=window, length=speech.shape[1])
        optimizer.zero_grad()
        unintelligibility(changed, speech).backward()
        optimizer.step()
    before, after = (estoi(speech[0].numpy(), x.detach()[0].numpy(), 16_000) for x in (tested, changed))
    assert after > before + 0.05


def test_clips_without_speech_are_left_out(speech: Tensor):
    estimate = torch.cat([speech + 0.01 * noise(speech), 0.1 * noise(speech)]).requires_grad_()
    loss = unintelligibility(estimate, torch.cat([speech, torch.zeros_like(speech)]))
    assert loss.item() == pytest.approx(unintelligibility(estimate[:1], speech).item(), rel=1e-5)
    loss.backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()
    assert not estimate.grad[1].any()
    assert unintelligibility(estimate[1:], torch.zeros_like(speech)).item() == 0


def test_an_estimate_of_zeros_has_a_gradient(speech: Tensor):
    estimate = torch.zeros_like(speech).requires_grad_()
    unintelligibility(estimate, speech).backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


def test_clips_shorter_than_a_segment_are_left_out(speech: Tensor):
    short = speech[:, :4000]
    assert unintelligibility(short + 0.01 * noise(short), short).item() == 0


def test_it_is_refused_at_another_rate():
    model = {"sample_rate": 48000, "n_fft": 1536, "hop_length": 768, "bands": [[16, 8], [8, 16], [8, 64]]}
    with pytest.raises(InputError, match="48000 Hz"):
        parse({"system": "spectral_mixer", "model": model, "training": {"losses": {"estoi": 1.0}}})
