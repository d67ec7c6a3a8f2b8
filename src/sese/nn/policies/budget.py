"""Meet a target average of the utilization by a price on compute.

Level j is worth `score[j] - price * utilization[j]`, and the best level is chosen. The price follows the
running mean of the utilization in a closed loop. At the start of a stream every frame counts much and the
price swings; later it swings less. Within the tolerance of the average the policy then spends compute where
the input needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sese.nn.policies.choice import Choose

MEMORY = 4
"""Size of the memory of a stream: number of frames so far (at most `window`), their mean utilization, the
standing price, and the mean square of the scores."""

SLACK = 0.04
"""Relative error of the mean utilization at which the price outweighs the scores."""

WALL, INTEGRAL, HIGHEST = 20.0, 0.02, 60.0
"""Price at an error of SLACK; growth of the standing price a frame at that error; limit of the standing
price. Prices are in units of the scores' root mean square."""

SETTLED = 1 / 15
"""Share of the window (2 s of 30 s) in which the mean settles. Before, a single frame changes the mean much,
and its error counts in proportion to the time so far."""

FLOOR = 1e-6
"""Lowest target and lowest root mean square, so that nothing is divided by zero."""

WINDOW_SECONDS = 30.0
"""Time over which the average counts, in seconds; the past before it has less and less weight."""


def budget(target: float | Tensor, utilizations: Tensor, window: int, ceiling: int | None = None) -> Choose:
    """Return a choice that meets a target average.

    Args:
        target: target of the mean utilization, in (0, 1], a scalar; at 0 the best score decides.
        utilizations: (level,) growing, the last one 1.
        window: frames over which the average counts.
        ceiling: highest level that may be chosen; it replaces a higher choice.

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
    """Choose the level of one frame.

    Args:
        score: (batch, level).
        memory: (batch, MEMORY), zeros at the start.
        target, utilizations, window, ceiling: as for `budget`.

    Returns:
        Level (batch,), and the next memory.
    """
    target = torch.as_tensor(target)
    count, mean, standing, power = memory.unbind(1)
    ahead = (count + 1).clamp_max(float(window))
    centred = score - score.mean(1, keepdim=True)
    power = power + (centred.square().mean(1) - power) / ahead
    # In units of the slack. Its cube is small within the slack, where the scores should decide, and large
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
