"""Training of step after step towards milestones, as modified cold diffusion does.

Every step is trained in every training step: in the first part of a training from true milestones, mixtures
of speech and less noise; then from where the steps before have come, without a gradient through those. So
each step learns to go on from what it will really hear.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.errors import InputError
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import compress
from sese.nn.state import fresh


@dataclass(frozen=True)
class MilestonesConfig:
    """How steps are trained.

    Attributes:
        true_share: share of the training, from its beginning on, in which steps start from true milestones.
    """

    true_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if not 0 <= self.true_share <= 1:
            raise InputError(f"training.milestones.true_share is {self.true_share}; use a share in [0, 1]")


def targets(model: Enhancer, noisy: Tensor, clean: Tensor) -> list[Tensor]:
    """What each step of a model aims at, signals shaped as the two that are given."""
    gains = model.backbone.noise_gains[1:]
    if model.backbone.aim == "clean":
        return [clean] * len(gains)
    return [clean + gain * (noisy - clean) for gain in gains]


def outputs(model: Enhancer, noisy: Tensor, clean: Tensor, true: bool) -> list[Tensor]:
    """What each step of a model makes of clips, aligned with them.

    Args:
        model: with a backbone of steps.
        noisy, clean: (batch, 1, time).
        true: whether steps start from true milestones, else from where those before have come.

    Returns:
        For each step (batch, 1, time); no gradient leads from one to another.
    """
    features, backbone, (batch, _, time) = model.features, model.backbone, noisy.shape
    padded, speech = (F.pad(x, (0, model.padding(time))).squeeze(1) for x in (noisy, clean))
    state = fresh(features.state_shapes(), batch, padded)
    heard, spectrum, level, _ = features.steadied(padded, state)
    quiet = features.analyse(speech, state["past"])[0]
    states = fresh(backbone.state_shapes(), batch, padded)
    made = []
    for number, gain in enumerate(backbone.noise_gains[:-1]):
        if true:  # at the level of the noisy signal, as when the steps follow each other
            milestone = quiet + gain * (spectrum - quiet)
            heard = compress(milestone) / level.unflatten(1, (-1, 1, 1))
        result, heard, _ = backbone.step(number, heard.detach(), 1, states)
        made.append(result)
    rows = len(made) * batch
    audio, _ = model.head(
        torch.cat(made).flatten(1).float(),
        level.repeat(len(made), 1),
        fresh(model.head.state_shapes(), rows, padded),
    )
    late = model.lookahead_samples
    return list(audio[:, None, late : late + time].chunk(len(made)))
