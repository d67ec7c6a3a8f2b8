"""Channel gates of DynCP (arXiv 2412.17121): each block decides in every frame which of its channels run.

A gate reads the input of its block, so it decides while the backbone runs, not before. A channel runs where
its score is above 0. The gradient of that step is 0; in training the gradient of a surrogate replaces it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from sese.nn.parts import Policy

Surrogate = Literal["sigmoid", "fast_sigmoid", "straight_through"]
"""Function whose gradient replaces that of the step: the logistic function; x / (1 + |x|), which has long
tails; or x, as if there were no step."""


class ChannelGates(Policy):
    """Decide on the units of each block by a small network: pointwise, ReLU, pointwise.

    Args:
        blocks: number of blocks.
        channels: number of channels of a block's input.
        hidden: number of hidden channels of a gate.
        units: number of units of a block.
        surrogate: see `Surrogate`.
        slope: steepness of the two sigmoids.
        bias: added to the initial biases of the scores.
    """

    inside_backbone = True

    def __init__(
        self,
        blocks: int,
        channels: int,
        hidden: int,
        units: int,
        surrogate: Surrogate = "sigmoid",
        slope: float = 1.0,
        bias: float = 0.0,
    ):
        super().__init__()
        self.surrogate: Surrogate = surrogate
        self.slope = slope
        self.inward = nn.ModuleList(nn.Linear(channels, hidden) for _ in range(blocks))
        outward = [nn.Linear(hidden, units) for _ in range(blocks)]
        for layer in outward:
            layer.bias.data += bias
        self.outward = nn.ModuleList(outward)

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return sum(p.numel() for name, p in self.named_parameters() if name.endswith("weight"))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return no shapes: the input of a block already depends on the past."""
        return {}

    def gate(self, block: int, x: Tensor) -> Tensor:
        """Decide on the units of one block.

        Args:
            block: number of the block.
            x: (batch, frame, channel), its input.

        Returns:
            Masks (batch, frame, unit) of 0 and 1.
        """
        scores = self.outward[block](torch.relu(self.inward[block](x))).float()
        return open_where_positive(scores, self.surrogate, self.slope)

    def joint_gate(self, block: int, x: Tensor) -> Tensor:
        """Decide once for the whole batch: (1, frame, unit), true where the mean of the scores is above 0."""
        hidden = torch.relu(self.inward[block](x)).mean(0, keepdim=True)
        return self.outward[block](hidden) > 0  # scores are linear in these, so this is their mean


def open_where_positive(scores: Tensor, surrogate: Surrogate, slope: float = 1.0) -> Tensor:
    """Return 1 where a score is above 0, else 0, with the gradient of a surrogate.

    Example:
        >>> open_where_positive(torch.tensor([-1.0, 2.0]), "sigmoid")
        tensor([0., 1.])
    """
    hard = (scores > 0).to(scores.dtype)
    if not scores.requires_grad:
        return hard
    x = slope * scores
    if surrogate == "sigmoid":
        soft = torch.sigmoid(x)
    elif surrogate == "fast_sigmoid":
        soft = scores / (1 + x.abs())
    else:
        soft = scores
    return hard + (soft - soft.detach())
