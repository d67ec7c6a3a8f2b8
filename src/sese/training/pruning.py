"""How gates learn to leave channels out: the pruning loss of DynCP (arXiv 2412.17121) and its settings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sese.core.checks import above_zero, at_least, shares
from sese.core.errors import InputError
from sese.nn.plan import Plan


@dataclass(frozen=True)
class PruningConfig:
    """How gates are trained.

    Attributes:
        target: share of the channels to keep, in each block.
        weight: of the pruning loss.
        fall: share of the steps over which the target falls in a line from 1 to `target`; with 0 it is there
            from the first step.
        dense_share: share of a batch's rows that run whole rather than gated, so that the dense network stays
            good on its own.
        learning_rate: of the gates, times that of the rest.
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
        """Target when `done`, in [0, 1], of the steps are behind."""
        left = max(0.0, 1 - done / self.fall) if self.fall else 0.0
        return self.target + (1 - self.target) * left


def pruning(plan: Plan, target: float) -> Tensor:
    """Mean over blocks of the square of (share kept - target).

    Args:
        plan: masks (batch, frame, unit) of the blocks, as gates make them.
        target: share of the channels to keep, in [0, 1].

    Returns:
        A scalar; its gradient reaches the gates by their surrogate.
    """
    kept = torch.stack([mask.mean() for mask in plan.values() if isinstance(mask, Tensor)])
    return (kept - target).square().mean()
