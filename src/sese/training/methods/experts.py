"""A mixture of experts in three stages: each on its own class, the gate alone, and all together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.policies.fixed import levels_plan
from sese.training.losses import si_sdr

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def specialists(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Each row trains the expert of its class, so that all are trained at once."""
    return task.losses(_matched(task, batch), batch.clean, batch.noisy)


def validate_specialists(task: EnhancementTask, batch: Mixture) -> dict[str, Tensor]:
    """What a gate that knew the classes would give."""
    estimate = _matched(task, batch).float()
    losses = task.losses(estimate, batch.clean, batch.noisy)
    return {
        "loss/matched": torch.stack(list(losses.values())).sum().view(1),
        "si_sdr/matched": si_sdr(estimate.squeeze(1), batch.clean.squeeze(1)),
    }


def matched_score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """The loss of each row's own expert."""
    return means["val/loss/matched"]


def gating(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The gate learns to tell the class, in every frame by what it has heard so far."""
    return {"cross_entropy": _cross_entropy(task, batch)[0].mean()}


def validate_gating(task: EnhancementTask, batch: Mixture) -> dict[str, Tensor]:
    """Of every row the error over its frames, and whether the last frame's choice is right."""
    errors, scores = _cross_entropy(task, batch)
    return {
        "cross_entropy": errors.mean(1),
        "accuracy": (scores[:, -1].argmax(1) == _classes(batch)).float(),
    }


def gating_score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """The gate's cross-entropy."""
    return means["val/cross_entropy"]


def mixture(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Every expert runs, and masks are mixed by a softmax of the gate's scores that grows sharper."""
    sharpness = task.config.training.experts.sharpness_at(task.global_step)
    task.log("train/sharpness", sharpness)

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return torch.softmax(sharpness * scores, dim=-1), memory

    estimate = task.model.run_clip(batch.noisy, None, choose).audio
    return task.losses(estimate, batch.clean, batch.noisy)


def routed_score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """The loss with the gate's best expert alone, as the model runs."""
    return means["val/loss/routed"]


def _matched(task: EnhancementTask, batch: Mixture) -> Tensor:
    return task.model.enhance_clip(batch.noisy, levels_plan(task.model.sites, _classes(batch).unsqueeze(1)))


def _classes(batch: Mixture) -> Tensor:
    assert batch.label is not None
    return batch.label.long()


def _cross_entropy(task: EnhancementTask, batch: Mixture) -> tuple[Tensor, Tensor]:
    """(row, frame) errors of the gate's scores, and the scores (row, frame, expert)."""
    scores = task.model.score(batch.noisy).float()
    classes = _classes(batch).unsqueeze(1).expand(-1, scores.shape[1])
    return F.cross_entropy(scores.transpose(1, 2), classes, reduction="none"), scores
