"""Train the steps of cold diffusion towards milestones between the noisy signal and the clean speech.

Every step of the network is trained in every step of the training. In the first part of a training they start
from true milestones, mixtures of speech and less noise. Then they start where the steps before them ended, so
that each learns to continue from what it will really hear. A gradient leads through the steps before only
where they are joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.core.checks import shares
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.backbones.cold_diffusion import ColdDiffusion
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures, compress
from sese.nn.state import fresh
from sese.training.methods.levels import last_score
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask


@dataclass(frozen=True)
class MilestonesConfig:
    """Configuration of the training of steps.

    Attributes:
        true_share: Share of the training, from its beginning, in which steps start from true milestones.
        row_share: Share of the examples that each step is trained on, for less compute for each example.
        joined: Whether gradients lead from each step to those before it, where steps start from each other's
            outputs.
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


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the mean losses over steps, each against its own target."""
    settings = task.config.training.milestones
    true = task.done < settings.true_share
    parts = draw(len(batch.noisy), task.levels, settings.row_share, generator)
    parts = [rows.to(task.device) for rows in parts]
    return task.losses(*pairs(task.model, batch.noisy, batch.clean, true, parts, settings.joined))


def pairs(
    model: Enhancer, noisy: Tensor, clean: Tensor, true: bool, parts: list[Tensor], joined: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output of each step of a model, aligned with the input, and its target.

    Args:
        model: Model with a backbone of steps.
        noisy, clean: Input and target (batch, 1, time).
        true: Whether steps start from true milestones; else from where the steps before them ended.
        parts: For each step the numbers of the examples that it is trained on.
        joined: Whether gradients lead from a step to those before it.

    Returns:
        The outputs, the targets and the noisy clips, each (row, 1, time), step after step.
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
    """Return the target of each step of a model, signals with the shape of the two given."""
    assert isinstance(model.backbone, ColdDiffusion)
    gains = model.backbone.noise_gains[1:]
    if model.backbone.aim == "clean":
        return [clean] * len(gains)
    return [clean + gain * (noisy - clean) for gain in gains]


def draw(rows: int, steps: int, share: float, generator: Generator) -> list[Tensor]:
    """Sample the examples that each step is trained on; different ones for each step where possible.

    Args:
        rows: Number of examples.
        steps: Number of steps.
        share: Share of the examples for each step, in (0, 1].
        generator: Source of randomness, on the CPU.

    Returns:
        For each step the numbers of its examples, growing.
    """
    order, count = torch.randperm(rows, generator=generator), max(1, round(share * rows))
    return [order.roll(-step * count)[:count].sort().values for step in range(steps)]


def _step(model: Enhancer, number: int, heard: Tensor) -> tuple[Tensor, Tensor]:
    """Run a step from its beginning: return its output, and the input of the next one."""
    assert isinstance(model.backbone, ColdDiffusion)
    states = fresh(model.backbone.state_shapes(), len(heard), heard)
    return model.backbone.step(number, heard, 1, states)[:2]


def check(config: RunConfig) -> None:
    """Check that the model has milestones.

    Raises:
        InputError: it has none.
    """
    if not getattr(config.model, "noise_gains", ()):
        raise InputError(f"training.method is 'milestones' and {config.system} has none; use cold_diffusion")


METHOD = Method(losses, last_score, {"milestones": MilestonesConfig}, check)
