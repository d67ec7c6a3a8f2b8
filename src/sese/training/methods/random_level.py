"""Train each example at one random level, which costs one pass for each example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.core import checks
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.policies import sample
from sese.nn.policies.activity import SPEECH, SPEECH_FRAMES
from sese.nn.policies.fixed import levels_plan
from sese.training.methods.activity import labels
from sese.training.methods.levels import mean_score
from sese.training.methods.method import Method

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask

SHORTEST_REST = 4
"""Number of frames of a clip from which `sample.rest` can draw a stretch."""


@dataclass(frozen=True)
class RandomLevelConfig:
    """Configuration of random levels.

    Attributes:
        shares: Share of the examples that each level gets, the lowest first; empty for equal shares.
        switching: Share of the steps in which each example changes to another example's level at a random
            frame, so that a network learns to continue from a state that another level left.
        rest: Share of the steps in which the network rests for a stretch of frames, so that it learns to
            continue from an old state.
        pauses: Share of the other steps in which each example rests where nobody speaks, as the policy of
            `sese.nn.policies.activity` lets it rest. A batch without speech does not rest.
    """

    shares: tuple[float, ...] = ()
    switching: float = 0.0
    rest: float = 0.0
    pauses: float = 0.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if self.shares and not (min(self.shares) >= 0 and abs(sum(self.shares) - 1) < 1e-6):
            raise InputError(
                f"training.random_level.shares is {list(self.shares)}; shares are 0 or more and sum to 1"
            )
        checks.shares(self, "training.random_level", "switching", "rest", "pauses")


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses with one level for each example; some steps switch levels within a clip, or rest."""
    settings: RandomLevelConfig = task.config.training.random_level
    levels = random_levels(task, batch.noisy.shape[0], generator).unsqueeze(1)
    frames = task.model.frames(batch.noisy.shape[2])
    if torch.rand((), generator=generator) < settings.switching:
        levels = sample.switch_levels(levels, frames, generator)
    if torch.rand((), generator=generator) < settings.rest:
        levels = sample.rest(levels, frames, generator)
    elif settings.pauses and torch.rand((), generator=generator) < settings.pauses:
        awake = _awake(batch, task.model.hop_length, frames)
        if awake.any():  # otherwise no weight would take part
            levels = torch.where(awake, levels, -1)
    plan = levels_plan(task.model.sites, levels)
    return task.losses(task.model.enhance_clip(batch.noisy, plan), batch.clean, batch.noisy)


def _awake(batch: Mixture, hop_length: int, frames: int) -> Tensor:
    """Return the frames (batch, frame) with speech in them, or in a few before them."""
    speech = labels(batch, hop_length)[..., SPEECH].unsqueeze(1)
    speech = F.pad(speech, (SPEECH_FRAMES - 1, frames - speech.shape[2]))
    return F.max_pool1d(speech, SPEECH_FRAMES, 1).squeeze(1) > 0


def random_levels(task: EnhancementTask, rows: int, generator: Generator) -> Tensor:
    """Sample a level for each example, in the configured shares.

    Args:
        task: Task with the model.
        rows: Number of examples.
        generator: Source of randomness, on the CPU.

    Returns:
        Levels (row,) on the task's device.
    """
    shares = task.config.training.random_level.shares or (1 / task.levels,) * task.levels
    return sample.random_levels(rows, shares, generator).to(task.device)


def check(config: RunConfig) -> None:
    """Check the number of shares, and that the network can rest where it is to.

    Raises:
        InputError: the levels cannot be sampled so.
    """
    check_shares(config)
    settings, seconds = config.training.random_level, config.data.mix.seconds
    for name in ("rest", "pauses"):
        value = getattr(settings, name)
        if value and not getattr(config.model, "rests", False):
            raise InputError(
                f"training.random_level.{name} is {value:g} and {config.system} cannot rest; "
                "use gated_mixer, or demucs with model.activity_units, or set it to 0"
            )
    least = SHORTEST_REST * config.model.hop_length / config.model.sample_rate
    if settings.rest and seconds < least:
        raise InputError(
            f"data.mix.seconds is {seconds:g} and training.random_level.rest {settings.rest:g}; "
            f"rests need {SHORTEST_REST} frames, {least:.3f} s"
        )


def check_shares(config: RunConfig) -> None:
    """Check that each level has a share, or none.

    Raises:
        InputError: there are more or fewer shares than levels.
    """
    shares, levels = config.training.random_level.shares, config.model.levels
    if shares and len(shares) != levels:
        raise InputError(
            f"training.random_level.shares has {len(shares)} shares; the model has {levels} levels"
        )


METHOD = Method(losses, mean_score, {"random_level": RandomLevelConfig}, check)
