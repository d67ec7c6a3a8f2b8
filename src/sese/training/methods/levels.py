"""Losses and scores over levels, which several methods share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sese.data.mixing import Mixture

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def over_levels(task: EnhancementTask, batch: Mixture, levels: Sequence[int]) -> dict[str, Tensor]:
    """Return the mean losses of a batch over levels.

    With `training.distill` the output of the first level is a target of the others too.

    Args:
        task: Task with the model.
        batch: Mixtures (batch, 1, time).
        levels: Levels to run, the highest first.

    Returns:
        Losses by name.
    """
    sums: dict[str, Tensor] = {}
    teacher: Tensor | None = None
    for estimate in task.model.enhance_levels(batch.noisy, levels):
        targets = [(batch.clean, 1.0)]
        if teacher is not None and task.config.training.distill:
            share = task.config.training.distill
            targets = [(batch.clean, 1 - share), (teacher, share)]
        for target, weight in targets:
            for name, value in task.losses(estimate, target, batch.noisy).items():
                sums[name] = sums.get(name, 0.0) + weight * value / len(levels)
        if teacher is None:
            teacher = estimate.detach()
    return sums


def mean_score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the mean loss of the levels in the validation."""
    return torch.stack([means[f"val/loss/{level}"] for level in range(task.levels)]).mean()


def last_score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of the highest level in the validation."""
    return means[f"val/loss/{task.levels - 1}"]
