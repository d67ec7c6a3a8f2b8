"""Frames count by how clean their target is (data purification)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.contrastive import at_target_level

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def purified(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The widest level's distance from its targets, frame by frame, where the targets are hardly noisy."""
    (output,) = task.model.enhance_levels(batch.noisy, [task.levels - 1])
    purifier = task.purifier
    assert purifier is not None  # the configuration names a predictor
    with torch.autocast(output.device.type, enabled=False):
        made, aims = at_target_level(output.squeeze(1).float(), batch.clean.squeeze(1).float())
        weights = purifier.weights(batch.clean.squeeze(1))
        return {"purified": purifier.distance(made, aims, weights).mean()}
