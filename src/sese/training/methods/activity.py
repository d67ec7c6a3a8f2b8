"""Train the policy that detects speech and noise, from the two sides of the mixtures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.policies.activity import MISS, NOISE, SPEECH
from sese.training.methods.method import Method, check_policy_alone

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhanced
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask

SPEECH_DB, FAINT_SPEECH_DB = 26.0, 42.0
"""Level of a frame with speech in dB: at most so far below the loudest frame around it, and below the loudest
frames of the clip. Talkers differ, and recordings have a noise floor."""

NEARBY = 125
"""Number of frames around a frame, 2 s, in which the loudest one is looked for."""

NOISE_DB = 36.0
"""Level of noise that disturbs: at most so far below the loudest speech of the clip, in dB."""

FAINT = 1e-7
"""Power below which a frame has neither speech nor noise: -70 dBFS."""

AROUND = 21
"""Number of frames over which the power of noise is averaged: it need not be in each of them."""


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the weighted cross-entropy of both scores."""
    wanted = labels(batch, task.model.hop_length)
    scores = task.model.score(batch.noisy)[:, : wanted.shape[1]]
    entropy = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    weight = torch.ones_like(wanted)
    weight[..., SPEECH] += (MISS - 1) * wanted[..., SPEECH]
    return {"activity": (entropy * weight).mean()}


def labels(batch: Mixture, hop_length: int) -> Tensor:
    """Return whether each frame has speech, and noise.

    Args:
        batch: Mixtures (batch, 1, time).
        hop_length: Samples of a frame.

    Returns:
        Labels (batch, frame, 2) of 0 and 1, without a last incomplete frame.
    """
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
    """Return the power of each hop (batch, hop), without a last incomplete one."""
    whole = x.shape[1] // hop_length * hop_length
    return x[:, :whole].unflatten(1, (-1, hop_length)).square().mean(2)


def validate(task: EnhancementTask, batch: Mixture, decided: Enhanced | None) -> dict[str, Tensor]:
    """Return the shares of frames whose speech, or noise, is missed, and of false alarms."""
    wanted = labels(batch, task.model.hop_length).bool()
    heard = task.model.score(batch.noisy)[:, : wanted.shape[1]] > 0
    values = {}
    for name, place in (("speech", SPEECH), ("noise", NOISE)):
        there, found = wanted[..., place], heard[..., place]
        values[f"{name}_missed"] = (there & ~found).sum().view(1) / there.sum().clamp_min(1)
        values[f"{name}_false"] = (~there & found).sum().view(1) / (~there).sum().clamp_min(1)
    return values


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the shares of errors of the validation; misses count most."""
    missed, false = (means[f"val/speech_{kind}"] + means[f"val/noise_{kind}"] for kind in ("missed", "false"))
    return MISS * missed + false


def check(config: RunConfig) -> None:
    """Check that the network has this policy, and that it trains alone.

    Raises:
        InputError: it has none, or other weights train too.
    """
    if not getattr(config.model, "activity_units", 0):
        raise InputError("training.method is 'activity' and nothing listens; set model.activity_units")
    check_policy_alone(config)


METHOD = Method(losses, score, check=check, trains_policy=True, validate=validate)
