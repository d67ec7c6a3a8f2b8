"""Levels that are told: all of them, the widest with others, the widest alone, or one for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.policies.fixed import levels_plan
from sese.nn.policies.sample import random_levels, rest, sandwich, switch_levels

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def every(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The mean over all levels."""
    return over_levels(task, batch, range(task.levels - 1, -1, -1))


def sandwiched(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The mean over the widest, the cheapest and one between."""
    return over_levels(task, batch, sandwich(task.levels, generator))


def widest(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The widest alone."""
    return over_levels(task, batch, [task.levels - 1])


def dealt(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Each row at one level; in a share of the steps its level changes within the clip, or it rests."""
    levels = deal_rows(task, batch.noisy.shape[0], generator).unsqueeze(1)
    if torch.rand((), generator=generator) < task.config.training.random_level.switching:
        levels = switch_levels(levels, task.model.frames(batch.noisy.shape[2]), generator)
    if torch.rand((), generator=generator) < task.config.training.random_level.rest:
        levels = rest(levels, task.model.frames(batch.noisy.shape[2]), generator)
    plan = levels_plan(task.model.sites, levels)
    return task.losses(task.model.enhance_clip(batch.noisy, plan), batch.clean, batch.noisy)


def deal_rows(task: EnhancementTask, rows: int, generator: Generator) -> Tensor:
    """A level for each row, (row,), in the shares that the configuration asks for."""
    shares = task.config.training.random_level.shares or (1 / task.levels,) * task.levels
    return random_levels(rows, shares, generator).to(task.device)


def over_levels(task: EnhancementTask, batch: Mixture, levels: Sequence[int]) -> dict[str, Tensor]:
    """Mean loss over levels, the widest first; the others may learn from its output as well."""
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
    """The mean of the levels' losses."""
    return torch.stack([means[f"val/loss/{level}"] for level in range(task.levels)]).mean()


def last_score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """The loss of the widest level."""
    return means[f"val/loss/{task.levels - 1}"]
