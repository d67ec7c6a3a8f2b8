"""Pairs of mixtures: outputs agree where targets do, and differ as targets differ (contrastive mixtures)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.contrastive import at_target_level, distance, pair_losses

if TYPE_CHECKING:
    from sese.training.task import EnhancementTask


def contrastive(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """The losses of the widest level, and what its outputs of each pair say of each other."""
    (output,) = task.model.enhance_levels(batch.noisy, [task.levels - 1])
    settings, purifier = task.config.training.contrastive, task.purifier
    with torch.autocast(output.device.type, enabled=False):
        made, aims = at_target_level(output.squeeze(1).float(), batch.clean.squeeze(1).float())
        (first, second), (one, other) = (made[0::2], made[1::2]), (aims[0::2], aims[1::2])
        if purifier is None:
            own = task.losses(output, batch.clean, batch.noisy)
            between = distance(first, second), distance(one, other)
        else:
            weights = purifier.weights(batch.clean.squeeze(1))
            own = {"purified": purifier.distance(made, aims, weights).mean()}
            both = weights[0::2] * weights[1::2]
            # Pairs of one target count by its weights, pairs of two by the products of theirs.
            both[0::2] = weights[0::4]
            between = purifier.distance(first, second, both), purifier.distance(one, other, both)
        return own | pair_losses(*between, settings)
