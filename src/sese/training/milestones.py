"""Training of step after step towards milestones, as modified cold diffusion does.

Every step is trained in every training step: in the first part of a training from true milestones, mixtures
of speech and less noise; then from where the steps before have come, with a gradient through those only where
they are joined. So each step learns to go on from what it will really hear.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.core.checks import shares
from sese.core.errors import InputError
from sese.nn.backbones.cold_diffusion import ColdDiffusion
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures, compress
from sese.nn.state import fresh


@dataclass(frozen=True)
class MilestonesConfig:
    """How steps are trained.

    Attributes:
        true_share: share of the training, from its beginning on, in which steps start from true milestones.
        row_share: share of a batch's rows that each step is trained on, for less compute a clip.
        joined: gradients lead from each step to those before, where steps start from each other's outputs.
    """

    true_share: float = 0.5
    row_share: float = 1.0
    joined: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        shares(self, "training.milestones", "true_share")
        if not 0 < self.row_share <= 1:
            raise InputError(
                f"training.milestones.row_share is {self.row_share}; use a share above 0, up to 1"
            )


def pairs(
    model: Enhancer, noisy: Tensor, clean: Tensor, true: bool, parts: list[Tensor], joined: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """What each step of a model makes of clips, aligned with them, and what it aims at.

    Args:
        model: with a backbone of steps.
        noisy, clean: (batch, 1, time).
        true: whether steps start from true milestones, else from where those before have come.
        parts: for each step the numbers of the rows that it is trained on.
        joined: whether gradients lead from a step to those before.

    Returns:
        The steps' outputs, their aims and the noisy clips, each (row, 1, time), step after step.
    """
    features, backbone, (batch, _, time) = model.features, model.backbone, noisy.shape
    assert isinstance(features, SpectralFeatures)
    assert isinstance(backbone, ColdDiffusion)
    padded, speech = (F.pad(x, (0, model.padding(time))).squeeze(1) for x in (noisy, clean))
    state = fresh(features.state_shapes(), batch, padded)
    heard, spectrum, level, _ = features.steadied(padded, state)
    quiet = features.analyse(speech, state["past"])[0]
    made = []
    for number, (gain, rows) in enumerate(zip(backbone.noise_gains, parts, strict=False)):
        if true:  # at the level of the noisy signal, as when the steps follow each other
            milestone = quiet + gain * (spectrum - quiet)
            heard = compress(milestone) / level.unflatten(1, (-1, 1, 1))
        result, next_heard = _step(model, number, heard[rows])
        made.append(result)
        if not true and number + 1 < backbone.steps:
            others = torch.ones(batch, dtype=torch.bool, device=rows.device)
            others[rows] = False
            after = torch.empty_like(heard)
            after[rows] = (next_heard if joined else next_heard.detach()).to(after)
            if others.any():
                with torch.no_grad():
                    after[others] = _step(model, number, heard[others])[1].to(after)
            heard = after
    every = torch.cat(parts)
    overlap = fresh(model.head.state_shapes(), len(every), padded)
    audio, _ = model.head(torch.cat(made).flatten(1).float(), level[every], overlap)
    late = model.lookahead_samples
    aims = torch.cat([aim[rows] for aim, rows in zip(targets(model, noisy, clean), parts, strict=True)])
    return audio[:, None, late : late + time], aims, noisy[every]


def targets(model: Enhancer, noisy: Tensor, clean: Tensor) -> list[Tensor]:
    """What each step of a model aims at, signals shaped as the two that are given."""
    assert isinstance(model.backbone, ColdDiffusion)
    gains = model.backbone.noise_gains[1:]
    if model.backbone.aim == "clean":
        return [clean] * len(gains)
    return [clean + gain * (noisy - clean) for gain in gains]


def draw(rows: int, steps: int, share: float, generator: torch.Generator) -> list[Tensor]:
    """For each step the rows that it is trained on, a share; other ones for each step where they go round."""
    order, count = torch.randperm(rows, generator=generator), max(1, round(share * rows))
    return [order.roll(-step * count)[:count].sort().values for step in range(steps)]


def _step(model: Enhancer, number: int, heard: Tensor) -> tuple[Tensor, Tensor]:
    """A step from its beginning: what it makes, and where the next one starts."""
    assert isinstance(model.backbone, ColdDiffusion)
    states = fresh(model.backbone.state_shapes(), len(heard), heard)
    return model.backbone.step(number, heard, 1, states)[:2]
