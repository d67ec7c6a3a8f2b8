"""Train the experts of a mixture and their gate together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.methods.experts import SHARED, check_experts
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses with the masks of all experts mixed by a softmax that grows sharper."""
    sharpness = task.config.training.experts.sharpness_at(task.global_step)
    task.log("train/sharpness", sharpness)

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return torch.softmax(sharpness * scores, dim=-1), memory

    estimate = task.model.run_clip(batch.noisy, None, choose).audio
    return task.losses(estimate, batch.clean, batch.noisy)


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the loss with the gate's best expert alone, as the model runs."""
    return means["val/loss/routed"]


def check(config: RunConfig) -> None:
    """Check that there are experts with a gate.

    Raises:
        InputError: there are not.
    """
    check_experts(config, gate=True, classes=False)


METHOD = Method(losses, score, check=check, **SHARED)
