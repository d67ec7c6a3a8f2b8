"""A small network that hears whether somebody speaks and something disturbs, and the dial that it turns.

Where nobody speaks, or nothing disturbs, the enhancement network rests: its states are held, and the signal
passes lowered, or as it is. Else it runs, as wide as a budget allows. The network for this runs in every
frame; it hears the evidence that the features give.

A miss costs a word and a false alarm only time, so thresholds are low, the network wakes at once, and rests
only when a while has passed without speech, or without noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.features.level import smooth
from sese.nn.parts import Policy
from sese.nn.plan import REST, Keep, Site
from sese.nn.policies.choice import Choose
from sese.nn.policies.router import DiagonalGRU
from sese.nn.state import State

SPEECH, NOISE = 0, 1
"""Places of the two scores."""

THRESHOLDS = (-1.5, -2.0)
"""Scores above which speech, and noise, count as present."""

SPEECH_FRAMES, NOISE_FRAMES = 10, 62
"""Frames after which speech, and noise, that are no longer heard count as gone."""

MEMORY = SPEECH_FRAMES - 1 + NOISE_FRAMES - 1 + 1
"""What is remembered of a stream: whether speech was heard in the frames before, whether noise was, and the
share of the frames at rest."""

QUIET_GAIN = 10 ** (-30 / 20)
"""Of frames in which nobody speaks and something disturbs."""


class Activity(Policy):
    """Scores for speech and for noise, one pair a frame, causal.

    Args:
        size: values a frame that the features give as evidence.
        units: of the hidden layers.
    """

    rests = True

    def __init__(self, size: int, units: int):
        super().__init__()
        self.units = units
        self.inward = nn.Linear(size, units)
        self.gru = DiagonalGRU(units)
        self.outward = nn.Linear(units, 2)

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return self.inward.weight.numel() + self.gru.macs() + self.outward.weight.numel()

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis; ``memory`` belongs to whoever chooses."""
        return {"gru": (self.units,), "memory": (MEMORY,)}

    def forward(self, evidence: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Score frames.

        Args:
            evidence: (batch, frame * size).
            state: tensors as in `state_shapes`.

        Returns:
            (batch, frame, 2) scores, above 0 where speech, or noise, is likely, and the GRU's next state.
        """
        x = evidence.unflatten(1, (-1, self.inward.in_features))
        hidden, last = self.gru(F.relu(self.inward(x)), state["gru"])
        return self.outward(hidden).float(), last

    def free_choice(self, levels: int) -> Choose:
        """Return the choice of rest, or of the highest level."""
        return dial(0.0, torch.ones(levels), 1)

    def held_choice(
        self, target: float, utilizations: Tensor, window: int, ceiling: int | None = None
    ) -> Choose:
        """Return the choice of rest, or of the highest level that the budget allows; see `dial`."""
        return dial(target, utilizations, window, ceiling)

    def plan(self, choice: Tensor, sites: Sequence[Site]) -> dict[str, Keep]:
        """Return the plan of a choice (batch, frame, level + 1), whose last value is the gain at rest."""
        return super().plan(choice[..., :-1], sites) | {REST: choice[..., -1]}


def dial(target: float, utilizations: Tensor, window: int, ceiling: int | None = None) -> Choose:
    """Return a choice that rests where it can, and else runs as wide as a budget allows.

    Args:
        target: mean utilization that is not exceeded, in (0, 1]; at 0 the highest level runs.
        utilizations: (level,) growing.
        window: frames over which the share of rest is averaged.
        ceiling: highest level that may be chosen.

    Returns:
        A `Choose` of scores (batch, frame, 2). Its choice is (batch, frame, level + 1): one-hot over levels
        where the network runs, else zeros; and behind them the gain at rest.
    """

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        highest = len(utilizations) - 1 if ceiling is None else ceiling
        level, gain, memory = decide(scores, memory, torch.tensor(target), utilizations, window, highest)
        levels = torch.arange(len(utilizations), device=level.device)
        return torch.cat([(level.unsqueeze(2) == levels).to(scores.dtype), gain.unsqueeze(2)], dim=2), memory

    return choose


def decide(
    scores: Tensor,
    memory: Tensor,
    target: Tensor,
    utilizations: Tensor,
    window: int,
    ceiling: int | Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Decide on frames.

    Args:
        scores: (batch, frame, 2).
        memory: (batch, MEMORY), zeros at the start.
        target, utilizations, window, ceiling: as in `dial`.

    Returns:
        Level (batch, frame), -1 at rest; gain at rest (batch, frame), else 0; next memory.
    """
    heard = (scores > scores.new_tensor(THRESHOLDS)).to(scores.dtype)
    before = memory.split([SPEECH_FRAMES - 1, NOISE_FRAMES - 1, 1], dim=1)
    speech = torch.cat([before[0], heard[:, :, SPEECH]], dim=1)
    noise = torch.cat([before[1], heard[:, :, NOISE]], dim=1)
    # At the start nobody has heard anything: that is no silence yet.
    disturbed = _lately(noise, NOISE_FRAMES)
    awake = _lately(speech, SPEECH_FRAMES) * disturbed
    rest = smooth(1 - awake, before[2], 1 - 1 / window)
    active = (1 - rest).unsqueeze(2)
    within = (utilizations[1:] * active <= target).to(scores.dtype).sum(2)
    wide = torch.where(target > 0, within, float(len(utilizations) - 1)).clamp_max(ceiling)
    level = torch.where(awake > 0, wide, -1.0).round().long()
    gain = (1 - awake) * (1 - disturbed * (1 - QUIET_GAIN))
    after = torch.cat(
        [speech[:, -(SPEECH_FRAMES - 1) :], noise[:, -(NOISE_FRAMES - 1) :], rest[:, -1:]], dim=1
    )
    return level, gain, after


def _lately(heard: Tensor, frames: int) -> Tensor:
    """Return whether there is a 1 in the last frames: (batch, frames - 1 + frame) -> (batch, frame)."""
    count = F.pad(heard, (1, 0)).cumsum(1)
    return (count[:, frames:] - count[:, :-frames] > 0.5).to(heard.dtype)
