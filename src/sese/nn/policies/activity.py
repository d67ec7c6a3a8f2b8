"""A small network that detects speech and noise, and lets the enhancement network rest without either.

In frames without speech, or without noise, the enhancement network rests: it holds its states, and the signal
passes at a lower gain, or unchanged. Otherwise it runs: at the highest level that a budget allows, or, where
there is no budget and speech is not sure, one level below the highest. The network for detection runs in
every frame, on the evidence of the features.

A missed word costs more than a false alarm, which only costs time. So thresholds are low, the enhancement
network wakes at once, and it rests only after some time without speech, or without noise. In doubt most
frames have no speech, or soft ends of it, for which the next lower level is as good.

While noise goes on, the network wakes for some frames every second. Else it would not know a noise that began
during a rest, and would let it pass when the next word wakes it.
"""

from __future__ import annotations

import math
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
"""Indices of the two scores."""

THRESHOLDS = (-1.5, -2.0)
"""Scores above which speech, and noise, count as present."""

SURE = 0.5
"""Score above which speech is sure."""

SPEECH_FRAMES, NOISE_FRAMES = 10, 62
"""Number of frames without a detection after which speech, and noise, count as gone."""

HOLDS = (SPEECH_FRAMES, SPEECH_FRAMES, NOISE_FRAMES)
"""Number of frames that speech, sure speech and noise count as present, from a detection on."""

LISTEN_EVERY, LISTEN_FRAMES = 62, 8
"""Of so many frames, the number of the last ones in which the network is awake where there is noise."""

MEMORY = len(HOLDS) + 2
"""Size of the memory of a stream: for speech, sure speech and noise the share of `HOLDS` that is left after
the latest detection, from 1 to 0, the number of frames modulo `LISTEN_EVERY`, and the share of the frames at
rest."""

QUIET_GAIN = 10 ** (-40 / 20)
"""Gain of frames with noise and without speech: -40 dB."""

MISS = 5.0
"""Weight in training of a frame whose speech is missed, relative to a false alarm."""


class Activity(Policy):
    """Score speech and noise in each frame, causal.

    Args:
        size: values a frame that the features give as evidence.
        units: number of units of the hidden layers.
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
        """Return the shapes of the state behind the batch axis; ``memory`` belongs to the choice."""
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
    """Return a choice of rest where that is possible, and else of the highest level that a budget allows.

    Without a budget, the level below the highest runs where speech is in doubt.

    Args:
        target: limit of the mean utilization, in (0, 1]; at 0 it has no limit.
        utilizations: (level,) growing.
        window: frames over which the share of rest is averaged.
        ceiling: highest level that may be chosen.

    Returns:
        A `Choose` of scores (batch, frame, 2). Its choice is (batch, frame, level + 1): one-hot over the
        levels where the network runs, else zeros; the last value is the gain at rest.
    """

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        highest = len(utilizations) - 1 if ceiling is None else ceiling
        level, gain, memory = decide(scores, memory, torch.tensor(target), utilizations, window, highest)
        levels = torch.arange(len(utilizations), device=level.device)
        return torch.cat([(level.unsqueeze(2) == levels).to(scores.dtype), gain.unsqueeze(2)], dim=2), memory

    return choose


def speech_probability(scores: Tensor) -> Tensor:
    """Return the probability of speech in each frame, (..., 2) scores -> (...), in [0, 1].

    Training counts missed speech `MISS` times, which raises the scores by the logarithm of it.
    """
    return torch.sigmoid(scores[..., SPEECH] - math.log(MISS))


def decide(
    scores: Tensor,
    memory: Tensor,
    target: Tensor,
    utilizations: Tensor,
    window: int,
    ceiling: int | Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Decide on the level, or on rest, of each frame.

    Args:
        scores: (batch, frame, 2).
        memory: (batch, MEMORY), zeros at the start; see there.
        target, utilizations, window, ceiling: as for `dial`.

    Returns:
        Level (batch, frame), -1 at rest; gain at rest (batch, frame), else 0; next memory.
    """
    heard, rest = detected(scores), memory[:, -1:]
    lately, lefts = [], []
    for kind, hold in enumerate(HOLDS):
        present, left = _held(heard[:, :, kind], memory[:, kind : kind + 1], hold)
        lately.append(present)
        lefts.append(left)
    speech, sure, disturbed = lately
    clock = memory[:, len(HOLDS) : -1] + torch.arange(1, scores.shape[1] + 1, device=scores.device)
    clock = clock % LISTEN_EVERY
    listens = (clock >= LISTEN_EVERY - LISTEN_FRAMES).to(scores.dtype)
    awake = torch.maximum(speech, listens) * disturbed
    rest = smooth(1 - awake, rest, 1 - 1 / window)
    active = (1 - rest).unsqueeze(2)
    within = (utilizations[1:] * active <= target).to(scores.dtype).sum(2)
    wide = torch.where(target > 0, within, float(len(utilizations) - 1)).clamp_max(ceiling)
    wide = (wide - torch.where(target > 0, 0.0, 1 - sure)).clamp_min(0)
    level = torch.where(awake > 0, wide, -1.0).round().long()
    gain = (1 - awake) * (1 - disturbed * (1 - QUIET_GAIN))
    return level, gain, torch.cat([*lefts, clock[:, -1:], rest[:, -1:]], dim=1)


def detected(scores: Tensor) -> Tensor:
    """Return 1 where speech, sure speech and noise are detected, else 0: (..., 2) scores -> (..., 3)."""
    thresholds = scores.new_tensor([THRESHOLDS[SPEECH], SURE, THRESHOLDS[NOISE]])
    return (scores[..., [SPEECH, SPEECH, NOISE]] > thresholds).to(scores.dtype)


def _held(heard: Tensor, left: Tensor, hold: int) -> tuple[Tensor, Tensor]:
    """Hold detections.

    Args:
        heard: (batch, frame) 1 where something is detected, else 0.
        left: (batch, 1) share of the frames that are left of the latest detection, as in the memory.
        hold: frames that a detection counts for.

    Returns:
        (batch, frame) 1 in the frames for which a detection counts, else 0, and the next `left`.
    """
    count = torch.arange(1, hold + 1, device=heard.device)
    before = ((left * hold).round() == count[1:]).to(heard.dtype)  # the latest detection, by its age
    heard = torch.cat([before, heard], dim=1)
    sums = F.pad(heard, (1, 0)).cumsum(1)
    present = (sums[:, hold:] - sums[:, :-hold] > 0.5).to(heard.dtype)
    return present, (heard[:, -hold:] * count).amax(1, keepdim=True) / hold
