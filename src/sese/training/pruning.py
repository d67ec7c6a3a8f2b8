"""The pruning loss of DynCP (arXiv 2412.17121): each block is held to a share of its channels."""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.plan import Plan


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
