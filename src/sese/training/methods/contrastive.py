"""Train on pairs of mixtures (contrastive mixtures, arXiv 2011.03426).

Outputs of a pair are to agree where its targets do, and to differ as its targets differ. Distances are
negative signal-to-noise ratios in units of 10 dB, as in `sese.training.losses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from sese.core.checks import at_least
from sese.core.errors import InputError
from sese.data.contrastive_pairs import EXAMPLES_PER_CYCLE, ContrastivePairSampler
from sese.data.mixing import Mixture
from sese.training.losses import at_target_level
from sese.training.methods.levels import last_score
from sese.training.methods.method import Method
from sese.training.methods.purification import PurificationConfig, Purifier, purifier_of

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask

FLOOR = 1e-6
"""Mean power added to a clip whose target has mean power 1; it limits a distance to -6, minus 60 dB."""


@dataclass(frozen=True)
class ContrastiveConfig:
    """Configuration of the weights of pairs, beside the distances of outputs from their targets.

    Attributes:
        positive: Weight of the distance between two outputs of one target.
        negative: Weight of the squared difference between the distance of two outputs and that of their
            targets. The published 0.0002 for dB is 0.002 in units of 10 dB.
    """

    positive: float = 0.5
    negative: float = 0.002

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        at_least(self, 0, "training.contrastive", "positive", "negative")


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses of the highest level, and those between its two outputs of each pair."""
    (output,) = task.model.enhance_levels(batch.noisy, [task.levels - 1])
    settings, purifier = task.config.training.contrastive, task.helper
    assert purifier is None or isinstance(purifier, Purifier)
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


def distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Return minus the SNR in units of 10 dB: (batch, time) each -> (batch,)."""
    signal, error = target.square().mean(-1), (estimate - target).square().mean(-1)
    return torch.log10(error + FLOOR) - torch.log10(signal + FLOOR)


def pair_losses(
    between_outputs: Tensor, between_targets: Tensor, config: ContrastiveConfig
) -> dict[str, Tensor]:
    """Return the two weighted terms of pairs.

    Args:
        between_outputs, between_targets: Distances (pair,) of each pair's first signal from its second.
            Positive pairs (0, 2, ...) and negative pairs (1, 3, ...) alternate, as in
            `sese.data.contrastive_pairs`.
        config: Weights.
    """
    apart = (between_targets[1::2] - between_outputs[1::2]).square().mean()
    return {
        "positive": config.positive * between_outputs[0::2].mean(),
        "negative": config.negative * apart,
    }


def check(config: RunConfig) -> None:
    """Check that batches hold whole groups of pairs.

    Raises:
        InputError: they do not.
    """
    size = config.training.batch_size
    if size % EXAMPLES_PER_CYCLE:
        raise InputError(
            f"training.batch_size is {size}; contrastive pairs need a multiple of {EXAMPLES_PER_CYCLE}"
        )


METHOD = Method(
    losses,
    last_score,
    {"contrastive": ContrastiveConfig, "purification": PurificationConfig},
    check,
    helper=purifier_of,
    sampler=ContrastivePairSampler,
)
