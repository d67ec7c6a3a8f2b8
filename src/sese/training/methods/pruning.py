"""Train gates that pick channels, together with their backbone (DynCP, arXiv 2412.17121)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.core.checks import above_zero, at_least, shares
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.plan import Plan, full, utilization
from sese.training.methods.levels import mean_score
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhanced
    from sese.training.config import RunConfig, TrainingConfig
    from sese.training.task import EnhancementTask


@dataclass(frozen=True)
class PruningConfig:
    """Configuration of the gates' training.

    Attributes:
        target: Share of the channels to keep in each block, in (0, 1].
        weight: Weight of the pruning loss.
        fall: Share of the steps over which the target falls in a line from 1 to `target`; 0 to start with it.
        dense_share: Share of the examples that run whole instead of gated, so that the dense network stays
            good on its own.
        learning_rate: Learning rate of the gates as a multiple of `training.learning_rate`.
    """

    target: float = 0.25
    weight: float = 1.0
    fall: float = 0.0
    dense_share: float = 0.0
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if not 0 < self.target <= 1:
            raise InputError(f"training.pruning.target is {self.target}; use a share above 0, up to 1")
        at_least(self, 0, "training.pruning", "weight")
        shares(self, "training.pruning", "fall")
        if not 0 <= self.dense_share < 1:
            raise InputError(f"training.pruning.dense_share is {self.dense_share}; use a share below 1")
        above_zero(self, "training.pruning", "learning_rate")

    def target_at(self, done: float) -> float:
        """Return the target at a point of the training.

        Args:
            done: Share of the steps that are done, in [0, 1].
        """
        left = max(0.0, 1 - done / self.fall) if self.fall else 0.0
        return self.target + (1 - self.target) * left


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses of gated examples and of whole ones; only the former are pruned."""
    noisy, settings = batch.noisy, task.config.training.pruning
    dense = round(settings.dense_share * noisy.shape[0])
    enhanced = task.model.run_clip(noisy[dense:])
    estimates = [enhanced.audio]
    if dense:
        estimates = [task.model.enhance_clip(noisy[:dense], full(task.model.sites)), *estimates]
    used = utilization(enhanced.plan, task.model.sites)
    task.log("train/utilization", used.detach().mean())
    return task.losses(torch.cat(estimates), batch.clean, noisy) | {
        "pruning": settings.weight * pruning(enhanced.plan, settings.target_at(task.done))
    }


def pruning(plan: Plan, target: float) -> Tensor:
    """Return the mean over blocks of the squared distance between the share kept and the target.

    Args:
        plan: Masks (batch, frame, unit) of the blocks, as gates make them.
        target: Share of the channels to keep, in [0, 1].

    Returns:
        A scalar. Its gradient reaches the gates through their surrogate.
    """
    kept = torch.stack([mask.mean() for mask in plan.values() if isinstance(mask, Tensor)])
    return (kept - target).square().mean()


def validate(task: EnhancementTask, batch: Mixture, decided: Enhanced | None) -> dict[str, Tensor]:
    """Return the pruning loss of the gates' decisions."""
    assert decided is not None
    return {"pruning": pruning(decided.plan, task.config.training.pruning.target).view(1)}


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of the whole network and of the gated one, weighted by their shares of the examples."""
    settings = task.config.training.pruning
    decided = means["val/loss/gated"] + settings.weight * means["val/pruning"]
    return settings.dense_share * mean_score(task, means) + (1 - settings.dense_share) * decided


def check(config: RunConfig) -> None:
    """Check that the model has gates.

    Raises:
        InputError: it has none.
    """
    if not getattr(config.model, "gate_channels", 0):
        raise InputError("training.method is 'pruning' and the model has no gates; set model.gate_channels")


def policy_rate(training: TrainingConfig) -> float:
    """Return the learning rate of the gates."""
    return float(training.pruning.learning_rate)


METHOD = Method(
    losses,
    score,
    {"pruning": PruningConfig},
    check,
    kinds=("gates",),
    trains_policy=True,
    policy_rate=policy_rate,
    validate=validate,
)
