"""Contrastive mixtures (arXiv 2011.03426): outputs agree where targets do, and differ as targets differ.

Distances are negative signal-to-noise ratios in units of 10 dB, as in `sese.training.losses`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sese.core.checks import at_least

FLOOR = 1e-6
"""Of the mean power of a clip, where that of its target is 1; it limits a distance to -6, minus 60 dB."""


@dataclass(frozen=True)
class ContrastiveConfig:
    """How much the pairs weigh beside the distances of outputs from their targets.

    Attributes:
        positive: of the distance between two outputs of one target.
        negative: of the squared difference between the distance of two outputs and that of their targets.
            The published 0.0002 for dB is 0.002 in units of 10 dB.
    """

    positive: float = 0.5
    negative: float = 0.002

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        at_least(self, 0, "training.contrastive", "positive", "negative")


def at_target_level(estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both (batch, time) without their means, and scaled so that the target has unit power."""
    estimate, target = (side - side.mean(-1, keepdim=True) for side in (estimate, target))
    scale = target.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-4)
    return estimate / scale, target / scale


def distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Minus the SNR in units of 10 dB: (batch, time) each -> (batch,)."""
    signal, error = target.square().mean(-1), (estimate - target).square().mean(-1)
    return torch.log10(error + FLOOR) - torch.log10(signal + FLOOR)


def pair_losses(
    between_outputs: Tensor, between_targets: Tensor, config: ContrastiveConfig
) -> dict[str, Tensor]:
    """The two terms of pairs, weighed.

    Args:
        between_outputs, between_targets: (pair,) distances of each pair's first from its second; positive
            pairs (0, 2, ...) and negative pairs (1, 3, ...) in turn, as `sese.data.contrastive_pairs` makes
            them.
        config: weights.
    """
    apart = (between_targets[1::2] - between_outputs[1::2]).square().mean()
    return {
        "positive": config.positive * between_outputs[0::2].mean(),
        "negative": config.negative * apart,
    }
