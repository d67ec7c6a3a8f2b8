"""Budgets by name: the fastest level of a model, a balanced one, the best."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sese.runtime.card import Card

Preset = Literal["fastest", "balanced", "best"]
PRESETS: tuple[str, ...] = get_args(Preset)

METRICS = ("pesq_wb", "pesq", "si_sdr")
"""Metrics by which levels are compared, the first that a card has for all levels."""


def preset_share(card: Card, preset: str) -> float:
    """Return the share of compute that a preset stands for.

    ``"balanced"`` is the level, between the lowest and the highest, whose measured quality lies farthest
    above what its cost lets expect: the knee of quality over cost. Where the card has no quality for every
    level, or there is no level in between, it is the one in the middle, the lower of two.

    Args:
        card: Facts about the model.
        preset: One of `PRESETS`.

    Returns:
        A budget in (0, 1]; 1 for models whose levels cost the same or that have but one.
    """
    used = [level.utilization for level in card.levels]
    if preset == "best" or card.alternatives or len(used) == 1:
        return 1.0
    return used[0] if preset == "fastest" else used[_balanced(card)]


def _balanced(card: Card) -> int:
    """Return the index of the level at the knee of quality over cost."""
    middle = (len(card.levels) - 1) // 2
    quality = next(filter(None, (_quality(card, metric) for metric in METRICS)), None)
    if len(card.levels) < 3 or quality is None or max(quality) == min(quality):
        return middle
    cost = np.array([level.macs_per_second for level in card.levels])
    gained = (np.array(quality) - min(quality)) / (max(quality) - min(quality))
    spent = (cost - cost[0]) / max(cost[-1] - cost[0], 1e-9)
    return 1 + int((gained - spent)[1:-1].argmax())


def _quality(card: Card, metric: str) -> list[float] | None:
    """Return the measured quality of every level; None where one is missing."""
    found = []
    for level in card.levels:
        names = (f"fixed:{level.utilization:g}", f"{level.utilization:g}")
        scores = [card.quality[name][metric] for name in names if metric in card.quality.get(name, {})]
        if not scores:
            return None
        found.append(scores[0])
    return found
