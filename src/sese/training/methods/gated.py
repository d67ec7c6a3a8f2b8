"""Gates pick the channels, and learn with the backbone (DynCP)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.plan import full, utilization
from sese.training.methods.levels import mean_score
from sese.training.pruning import pruning

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def gated(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The gates pick the channels of most rows; the rest run whole. Only the former cost."""
    noisy, settings = batch.noisy, task.config.training.pruning
    dense = round(settings.dense_share * noisy.shape[0])
    enhanced = task.model.run_clip(noisy[dense:])
    estimates = [enhanced.audio]
    if dense:
        estimates = [task.model.enhance_clip(noisy[:dense], full(task.model.sites)), *estimates]
    used = utilization(enhanced.plan, task.model.sites)
    task.log("train/utilization", used.detach().mean())
    return task.losses(torch.cat(estimates), batch.clean, noisy) | {
        "pruning": settings.weight * pruning(enhanced.plan, settings.target_at(task.done))
    }


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """The losses of the whole network and of the gated one, in the shares that rows are trained in."""
    settings = task.config.training.pruning
    decided = means["val/loss/gated"] + settings.weight * means["val/pruning"]
    return settings.dense_share * mean_score(task, means) + (1 - settings.dense_share) * decided
