from __future__ import annotations

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
from sese.training.pmsqe import pmsqe

SPEECH = Path(sese.__file__).parent / "export" / "noisy_speech.flac"


@pytest.fixture(scope="module")
def speech() -> Tensor:
    audio, _ = soundfile.read(SPEECH, dtype="float32")
    return torch.from_numpy(audio)[None]


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))


def test_nothing_disturbs_on_the_clean_signal(speech: Tensor):
    assert pmsqe(speech, speech).item() < 0.02


def test_a_common_level_changes_nothing(speech: Tensor):
    tested = speech + 0.01 * noise(speech)
    assert pmsqe(0.1 * tested, 0.1 * speech).item() == pytest.approx(pmsqe(tested, speech).item(), rel=1e-3)


def test_it_ranks_noises_as_pesq_does(speech: Tensor):
    levels = (0.003, 0.01, 0.03, 0.1)
    tested = [speech + level * noise(speech) for level in levels]
    disturbed = [pmsqe(x, speech).item() for x in tested]
    scores = [pesq_wb(speech[0].numpy(), x[0].numpy(), 16_000) for x in tested]
    assert np.array_equal(np.argsort(disturbed), np.argsort(scores)[::-1])


def test_what_is_added_disturbs_more_than_what_is_taken(speech: Tensor):
    # Half the loudness taken and as much added are alike but for the asymmetry.
    spectrum = torch.stft(speech, 512, window=torch.hann_window(512), return_complex=True)
    band = torch.zeros(257, 1)
    band[32:96] = 1
    window = torch.hann_window(512)
    less, more = (
        torch.istft(spectrum * (1 + band * change), 512, window=window, length=speech.shape[1])
        for change in (-0.9, 2.0)
    )
    whole = torch.istft(spectrum, 512, window=window, length=speech.shape[1])
    assert pmsqe(more, whole) > pmsqe(less, whole)


def test_clips_without_speech_are_left_out(speech: Tensor):
    estimate = torch.cat([speech + 0.01 * noise(speech), 0.1 * noise(speech)]).requires_grad_()
    loss = pmsqe(estimate, torch.cat([speech, torch.zeros_like(speech)]))
    assert loss.item() == pytest.approx(pmsqe(estimate[:1], speech).item(), rel=1e-5)
    loss.backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()
    assert not estimate.grad[1].any()
    assert pmsqe(estimate[1:], torch.zeros_like(speech)).item() == 0


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
                "training": {"losses": {"pmsqe": 1.0}},
            }
        )
