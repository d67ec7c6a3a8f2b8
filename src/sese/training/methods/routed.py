"""The router draws the levels, and learns with the backbone (Adaptive Slimming, DSN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.plan import utilization
from sese.nn.policies.choice import gumbel
from sese.training.methods.levels import deal_rows, mean_score
from sese.training.metric_guided import activation, guidance
from sese.training.routing import balance, efficiency

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def routed(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The router draws the levels of most rows; the rest run at dealt ones. Only the former cost."""
    noisy, routing = batch.noisy, task.config.training.routing
    fixed = round(routing.fixed_share * noisy.shape[0])
    dealt = F.one_hot(deal_rows(task, fixed, generator), task.levels).unsqueeze(1) if fixed else None
    draw = gumbel(routing.temperature_at(task.done), generator)

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        choice, memory = draw(scores, memory)
        if dealt is not None:
            choice = torch.cat([dealt.expand(-1, choice.shape[1], -1).to(choice), choice[fixed:]])
        return choice, memory

    enhanced = task.model.run_clip(noisy, None, choose)
    assert enhanced.scores is not None
    used = utilization(enhanced.plan, task.model.sites)[fixed:]
    task.log("train/utilization", used.detach().mean())
    if batch.label is None:
        cost = efficiency(used, routing)
    else:
        cost = guidance(activation(used, task.model.sites), batch.label[fixed:])
    return task.losses(enhanced.audio, batch.clean, noisy) | {
        "efficiency": routing.efficiency_weight * cost,
        "balance": routing.balance_weight * balance(enhanced.scores[fixed:], routing),
    }


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """The losses of the levels and of what the router picks, in the shares that rows are trained in."""
    routing = task.config.training.routing
    cost = routing.efficiency_weight * efficiency(means["val/utilization"], routing)
    decided = means["val/loss/routed"] + cost
    return routing.fixed_share * mean_score(task, means) + (1 - routing.fixed_share) * decided
