"""Train the gate of a mixture of experts to tell the class, over frozen experts or alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.methods.experts import SHARED, check_experts, classes_of
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhanced
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the cross-entropy of the class in every frame, from what the gate has heard so far."""
    return {"cross_entropy": _cross_entropy(task, batch)[0].mean()}


def validate(task: EnhancementTask, batch: Mixture, decided: Enhanced | None) -> dict[str, Tensor]:
    """Return each example's error over its frames, and whether its last frame's choice is right."""
    errors, scores = _cross_entropy(task, batch)
    return {
        "cross_entropy": errors.mean(1),
        "accuracy": (scores[:, -1].argmax(1) == classes_of(batch)).float(),
    }


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the gate's cross-entropy."""
    return means["val/cross_entropy"]


def check(config: RunConfig) -> None:
    """Check that there are experts with a gate, and a class for each.

    Raises:
        InputError: there are not.
    """
    check_experts(config, gate=True, classes=True)


def _cross_entropy(task: EnhancementTask, batch: Mixture) -> tuple[Tensor, Tensor]:
    """Return the errors (row, frame) of the gate's scores, and the scores (row, frame, expert)."""
    scores = task.model.score(batch.noisy).float()
    classes = classes_of(batch).unsqueeze(1).expand(-1, scores.shape[1])
    return F.cross_entropy(scores.transpose(1, 2), classes, reduction="none"), scores


METHOD = Method(losses, score, check=check, trains_policy=True, validate=validate, **SHARED)
