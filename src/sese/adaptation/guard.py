"""The guard: what an adaptation costs on other voices and noises than the user's.

The bundled general set is 16 mixtures of 4 s: 16 speakers, eight of each sex, of ten languages, and 16
kinds of noise, at SNRs from -5 to 15 dB. Its sources and licences are in `general/README.md`. Nothing learns
from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from sese.adaptation.results import GeneralLevel
from sese.adaptation.teacher import Teacher, resample
from sese.evaluation.summary import bootstrap_mean
from sese.nn.enhancer import Enhancer
from sese.nn.policies.fixed import level_plans
from sese.training.losses import si_sdr

CLIPS = 16
SNR_DB = (-5.0, 0.0, 5.0, 10.0, 15.0)
"""SNRs of the clips in dB, in turn."""

SHARES = (1.0, 0.75, 0.5, 0.25)
"""Shares of the way from the original's weights to the adapted ones, in this order: on the way back, what was
unlearnt of other voices returns sooner than what was learnt of the user's is lost (arXiv 2109.01903)."""

SPEECH_RMS = 0.05
PEAK = 0.99


@dataclass(frozen=True)
class Pairs:
    """Clips with their clean sides: float32 (clip, time) each, at `sample_rate`."""

    noisy: Tensor
    clean: Tensor
    sample_rate: int


def general_set(sample_rate: int) -> Pairs:
    """Read the bundled set, at a rate in Hz."""
    speech, noise = (_clips(name, sample_rate) for name in ("speech.opus", "noise.opus"))
    snr_db = np.resize(SNR_DB, CLIPS)[:, None]
    clean = SPEECH_RMS * speech / _rms(speech)
    noisy = clean + SPEECH_RMS * 10 ** (-snr_db / 20) * noise / _rms(noise)
    scale = PEAK / np.maximum(PEAK, np.abs(noisy).max(axis=1, keepdims=True))
    both = [torch.from_numpy((scale * side).astype(np.float32)) for side in (noisy, clean)]
    return Pairs(both[0], both[1], sample_rate)


def _clips(name: str, sample_rate: int) -> NDArray[np.float32]:
    with as_file(files("sese.adaptation") / "general" / name) as path:
        audio, rate = soundfile.read(path, dtype="float32")
    clips = np.split(audio, CLIPS)
    return np.stack([resample(clip, rate, sample_rate, len(clip) * sample_rate // rate) for clip in clips])


def _rms(clips: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.mean(np.square(clips), axis=1, keepdims=True))


@torch.no_grad()
def scores(model: Enhancer, pairs: Pairs) -> Tensor:
    """Return the SI-SDR of each level on each clip, in dB: (level, clip)."""
    device = next(model.parameters()).device
    noisy, clean = (side.to(device) for side in (pairs.noisy, pairs.clean))
    made = [model.enhance_clip(noisy.unsqueeze(1), plan).squeeze(1) for plan in level_plans(model)]
    return torch.stack([si_sdr(each, clean).cpu() for each in made])


def teacher_scores(teacher: Teacher, pairs: Pairs) -> Tensor:
    """Return the SI-SDR of a teacher on each clip, in dB: (clip,)."""
    made = [teacher.run(clip, pairs.sample_rate) for clip in pairs.noisy.numpy()]
    return si_sdr(torch.from_numpy(np.stack(made)), pairs.clean)


def compare(before: Tensor, after: Tensor) -> list[GeneralLevel]:
    """Return the mean SI-SDR of each level before and after, and the mean difference with its interval.

    Args:
        before, after: (level, clip) in dB.
    """
    return [
        {
            "level": level,
            "before_db": float(old.mean()),
            "after_db": float(new.mean()),
            "change_db": bootstrap_mean((new - old).numpy()),
        }
        for level, (old, new) in enumerate(zip(before, after, strict=True))
    ]


def between(original: Mapping[str, Tensor], adapted: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return weights a share of the way from the original's to the adapted ones."""
    return {
        name: torch.lerp(value, adapted[name], share) if value.is_floating_point() else adapted[name]
        for name, value in original.items()
    }


def harmed(levels: Sequence[GeneralLevel], tolerance_db: float) -> list[GeneralLevel]:
    """Return the levels that lose more than is tolerated; a loss that is no number counts."""
    return [row for row in levels if not row["change_db"]["mean"] >= -tolerance_db]
