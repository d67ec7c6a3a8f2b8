"""Hold an average utilization: a price on compute, moved by what was spent so far.

Wrapped around a policy's scores: level j is worth `score[j] - price * utilization[j]`, and the best is
taken. The price follows the running mean of the utilization in closed loop. Early on every frame counts
and the price swings; the longer the stream, the smaller the swing, so that within the average's slack the
policy spends where the input needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sese.nn.policies.choice import Choose

MEMORY = 4
"""What is remembered of a stream: frames seen (up to `window`), their mean utilization, the standing price,
and the mean square of the scores."""

SLACK = 0.04
"""Relative error of the mean utilization at which the price takes over from the scores."""

WALL, INTEGRAL, HIGHEST = 20.0, 0.02, 60.0
"""Price at an error of SLACK; growth of the standing price a frame, there; bound of the standing price.
Prices are in units of the scores' root mean square."""

SETTLED = 1 / 15
"""Share of the window (2 s of 30 s) in which the mean settles: before, when a single frame moves it far, its
error counts in proportion."""

FLOOR = 1e-6

WINDOW_SECONDS = 30.0
"""Over which the average counts; the further past has less and less weight."""


def budget(target: float | Tensor, utilizations: Tensor, window: int, ceiling: int | None = None) -> Choose:
    """A choice that holds an average.

    Args:
        target: mean utilization to hold, in (0, 1], without axes; at 0 the best score decides.
        utilizations: (level,) growing, the last one 1.
        window: frames over which the average counts.
        ceiling: highest level that may be chosen; a higher choice is cut down to it.

    Returns:
        A `Choose`; its memory is (batch, MEMORY), zeros at the start.
    """

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        chosen = []
        for score in scores.unbind(1):
            level, memory = step(score, memory, target, utilizations, window, ceiling)
            chosen.append(F.one_hot(level, len(utilizations)).to(scores.dtype))
        return torch.stack(chosen, dim=1), memory

    return choose


def step(
    score: Tensor,
    memory: Tensor,
    target: float | Tensor,
    utilizations: Tensor,
    window: int,
    ceiling: int | Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One frame: score (batch, level), memory (batch, MEMORY) -> level (batch,), next memory."""
    target = torch.as_tensor(target)
    count, mean, standing, power = memory.unbind(1)
    ahead = (count + 1).clamp_max(float(window))
    centred = score - score.mean(1, keepdim=True)
    power = power + (centred.square().mean(1) - power) / ahead
    # In units of the slack; its cube is gentle within the slack, where the scores are to decide, and steep
    # beyond it.
    weight = (count / (SETTLED * window)).clamp_max(1.0)
    error = (weight * (mean / target.clamp_min(FLOOR) - 1) / SLACK).clamp(-3.0, 3.0)
    price = (standing + WALL * error**3) * (power.sqrt() + FLOOR)
    level = (centred - torch.where(target > 0, price, 0.0).unsqueeze(1) * utilizations).argmax(-1)
    if ceiling is not None:
        level = level.clamp_max(ceiling)
    mean = mean + (utilizations[level] - mean) / ahead
    standing = (standing + INTEGRAL * error).clamp(-HIGHEST, HIGHEST)
    held = torch.stack([ahead, mean, standing, power], dim=1)
    return level, torch.where(target > 0, held, memory)
