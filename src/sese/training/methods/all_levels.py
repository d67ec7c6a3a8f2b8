"""Train every level on every example (Adaptive Slimming, arXiv 2507.04879)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.methods.levels import mean_score, over_levels
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the mean losses over all levels."""
    return over_levels(task, batch, range(task.levels - 1, -1, -1))


METHOD = Method(losses, mean_score, distills=True)
