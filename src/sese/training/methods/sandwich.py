"""Train the highest level, the lowest, and one between them (sandwich rule, arXiv 1903.05134)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.policies.sample import sandwich
from sese.training.methods.levels import mean_score, over_levels
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the mean losses over the highest level, the lowest, and a random one between them."""
    return over_levels(task, batch, sandwich(task.levels, generator))


METHOD = Method(losses, mean_score, distills=True)
