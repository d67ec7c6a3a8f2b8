"""Train the highest level alone: a network without levels, or all of one with levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.methods.levels import last_score, over_levels
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses of the highest level."""
    return over_levels(task, batch, [task.levels - 1])


METHOD = Method(losses, last_score, kinds=("", "gates"))
