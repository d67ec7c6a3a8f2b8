"""The network that hears speech and noise learns from the sides of the mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.policies.activity import NOISE, SPEECH

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask

SPEECH_DB, FAINT_SPEECH_DB = 26.0, 42.0
"""A frame has speech whose level is at most this far below that of the loudest frame around it, and of the
clip's loudest frames: talkers differ, and recordings have a floor of noise."""

NEARBY = 125
"""Frames around a frame, 2 s, in which the loudest is looked for."""

NOISE_DB = 36.0
"""Noise disturbs whose level is at most this far below that of the clip's loudest speech."""

FAINT = 1e-7
"""Power of what is no speech and no noise: -70 dBFS."""

AROUND = 21
"""Frames over which the power of noise is averaged: it need not be there in each."""

MISS = 5.0
"""Weight of a frame whose speech is missed, against a false alarm."""


def listened(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Cross entropy of both scores."""
    wanted = labels(batch, task.model.hop_length)
    scores = task.model.score(batch.noisy)[:, : wanted.shape[1]]
    entropy = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    weight = torch.ones_like(wanted)
    weight[..., SPEECH] += (MISS - 1) * wanted[..., SPEECH]
    return {"activity": (entropy * weight).mean()}


def labels(batch: Mixture, hop_length: int) -> Tensor:
    """Return whether there is speech, and noise, in each frame: (batch, frame, 2) of 0 and 1."""
    clean, noise = batch.clean.squeeze(1), (batch.noisy - batch.clean).squeeze(1)
    speech_power, noise_power = (_frames(x, hop_length) for x in (clean, noise))
    loudest = speech_power.topk(max(1, speech_power.shape[1] // 10), dim=1).values.mean(1, keepdim=True)
    nearby = F.max_pool1d(speech_power.unsqueeze(1), NEARBY, 1, NEARBY // 2).squeeze(1)
    least = torch.maximum(nearby * 10 ** (-SPEECH_DB / 10), loudest * 10 ** (-FAINT_SPEECH_DB / 10))
    speech = speech_power > least.clamp_min(FAINT)
    noise_power = F.avg_pool1d(noise_power.unsqueeze(1), AROUND, 1, AROUND // 2, count_include_pad=False)
    disturbs = noise_power.squeeze(1) > (loudest * 10 ** (-NOISE_DB / 10)).clamp_min(FAINT)
    return torch.stack([x.to(clean.dtype) for x in (speech, disturbs)], dim=2)


def _frames(x: Tensor, hop_length: int) -> Tensor:
    """Return the power of each hop (batch, hop), the last incomplete one left out."""
    whole = x.shape[1] // hop_length * hop_length
    return x[:, :whole].unflatten(1, (-1, hop_length)).square().mean(2)


def validate(task: EnhancementTask, batch: Mixture) -> dict[str, Tensor]:
    """Shares of frames with speech, or noise, that are missed, and of others that are taken for it."""
    wanted = labels(batch, task.model.hop_length).bool()
    heard = task.model.score(batch.noisy)[:, : wanted.shape[1]] > 0
    values = {}
    for name, place in (("speech", SPEECH), ("noise", NOISE)):
        there, found = wanted[..., place], heard[..., place]
        values[f"{name}_missed"] = (there & ~found).sum().view(1) / there.sum().clamp_min(1)
        values[f"{name}_false"] = (~there & found).sum().view(1) / (~there).sum().clamp_min(1)
    return values


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return what chooses the best weights: misses of speech count most."""
    missed, false = (means[f"val/speech_{kind}"] + means[f"val/noise_{kind}"] for kind in ("missed", "false"))
    return MISS * missed + false
