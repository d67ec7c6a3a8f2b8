"""Every step of a network of steps learns, each towards its own aim (modified cold diffusion)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.milestones import draw, pairs

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def milestones(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Mean loss over steps, of what each makes against what it aims at."""
    settings = task.config.training.milestones
    true = task.done < settings.true_share
    parts = draw(len(batch.noisy), task.levels, settings.row_share, generator)
    parts = [rows.to(task.device) for rows in parts]
    return task.losses(*pairs(task.model, batch.noisy, batch.clean, true, parts, settings.joined))
