"""Initial values of weights."""

from __future__ import annotations

import math

from torch import Tensor, nn


def uniform(weight: Tensor, bias: Tensor | None, fan_in: int) -> None:
    """Initialise by PyTorch's default: uniform within 1 / sqrt(fan_in) of zero, in place."""
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(weight, -bound, bound)
    if bias is not None:
        nn.init.uniform_(bias, -bound, bound)
