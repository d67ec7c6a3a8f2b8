"""The router learns alone, from every level's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.routing import balance, efficiency, frame_errors

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def measured(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Expected error and expected utilization, if each frame's level were drawn from the router's scores.

    Every level's error is known in every frame, so nothing need be drawn. It takes errors of frames to
    be independent of the levels of their neighbours, which they are not quite.
    """
    noisy, clean, routing = batch.noisy, batch.clean, task.config.training.routing
    with torch.no_grad():
        estimates = torch.stack(task.model.enhance_levels(noisy, range(task.levels))).squeeze(2).float()
        errors = frame_errors(estimates, clean.squeeze(1), noisy.squeeze(1), task.model.hop_length)
    scores = task.model.score(noisy)[:, : errors.shape[1]]
    probability = torch.softmax(scores, dim=-1)
    factors = scores.new_tensor(task.model.sites[0].shares).cumsum(0)
    used = (probability * factors).sum(-1)
    task.log("train/utilization", used.detach().mean())
    return {
        "error": (probability * errors).sum(-1).mean(),
        "efficiency": routing.efficiency_weight * efficiency(used, routing),
        "balance": routing.balance_weight * balance(scores, routing),
    }
