"""Train each expert of a mixture on its own class, all of them in one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.nn.policies.fixed import levels_plan
from sese.training.losses import si_sdr
from sese.training.methods.experts import SHARED, check_experts, classes_of
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhanced
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses with each example at the expert of its class."""
    return task.losses(_matched(task, batch), batch.clean, batch.noisy)


def validate(task: EnhancementTask, batch: Mixture, decided: Enhanced | None) -> dict[str, Tensor]:
    """Return the loss and the SI-SDR in dB that a gate which knows the classes would give."""
    estimate = _matched(task, batch).float()
    values = task.losses(estimate, batch.clean, batch.noisy)
    return {
        "loss/matched": torch.stack(list(values.values())).sum().view(1),
        "si_sdr/matched": si_sdr(estimate.squeeze(1), batch.clean.squeeze(1)),
    }


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the loss with each example at its own expert."""
    return means["val/loss/matched"]


def check(config: RunConfig) -> None:
    """Check that there are experts, and a class for each.

    Raises:
        InputError: there are not.
    """
    check_experts(config, gate=False, classes=True)


def _matched(task: EnhancementTask, batch: Mixture) -> Tensor:
    plan = levels_plan(task.model.sites, classes_of(batch).unsqueeze(1))
    return task.model.enhance_clip(batch.noisy, plan)


METHOD = Method(losses, score, check=check, validate=validate, **SHARED)
