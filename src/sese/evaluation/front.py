"""Fronts of quality over cost: which points are on one, how far from it others are, and the oracle's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sese.evaluation.results import Compute, Outcome

COSTS = {"macs": "macs_per_second", "time": "real_time_factor"}
"""Name of a cost -> the key of a level that holds it."""

PRICES = 25  # number of prices that the oracle is asked for


def cost_of(point: Compute, cost: str) -> float | None:
    """Return the cost of a level, None where it is not known.

    Args:
        point: the level.
        cost: name of the cost, a key of `COSTS`.
    """
    return point["macs_per_second"] if cost == "macs" else point["real_time_factor"]


def on_front(costs: ArrayLike, scores: ArrayLike) -> NDArray[np.bool_]:
    """Return which points are on the front: no other costs no more, scores no less and is better in one.

    Args:
        costs: [point], smaller is better.
        scores: [point], larger is better; a point whose cost or score is not finite is on no front.

    Example:
        >>> on_front([1, 2, 3], [2.0, 1.5, 2.5]).tolist()
        [True, False, True]
    """
    cost, score = np.asarray(costs, np.float64), np.asarray(scores, np.float64)
    usable = np.isfinite(cost) & np.isfinite(score)
    no_worse = (cost <= cost[:, None]) & (score >= score[:, None])  # [point, other]
    better = (cost < cost[:, None]) | (score > score[:, None])
    return usable & ~(no_worse & better & usable).any(axis=1)


def between(costs: ArrayLike, scores: ArrayLike, cost: float) -> NDArray[np.float64] | None:
    """Return the score of each file at a cost, on the straight lines between points.

    Args:
        costs: [point], rising, as on a front.
        scores: [point, file].
        cost: the cost at which to look.

    Returns:
        [file]; those of the last point where `cost` is above it, as that costs less; None below the first.

    Example:
        >>> between([1.0, 3.0], [[2.0], [3.0]], 2.0)
        array([2.5])
    """
    points, values = np.asarray(costs, np.float64), np.asarray(scores, np.float64)
    if not len(points) or not points[0] <= cost:
        return None
    above = min(int(np.searchsorted(points, cost)), len(points) - 1)
    if points[above] <= cost:
        return values[above]
    share = (cost - points[above - 1]) / (points[above] - points[above - 1])
    return (1 - share) * values[above - 1] + share * values[above]


def oracle(costs: ArrayLike, scores: ArrayLike, weights: ArrayLike, prices: int = PRICES) -> list[Outcome]:
    """Choose the best level for each file with its scores known, for a number of prices of compute.

    At a price p every file takes the level of the largest score - p * cost. Each outcome is the best that any
    choice per file can reach at its average cost (Lagrange), so it bounds every policy that stays at one
    level within a file. It knows the clean reference and can therefore not be built.

    Args:
        costs: [level].
        scores: [level, file]; files with a score that is not finite are left out.
        weights: [file], of the average cost: durations.
        prices: number of prices, from 0 to where every file takes the lowest level.

    Returns:
        `price`, average `cost` and mean `score` of each different outcome, from low to high cost.
    """
    cost, score = np.asarray(costs, np.float64), np.asarray(scores, np.float64)
    usable = np.isfinite(score).all(axis=0)
    score, weight = score[:, usable], np.asarray(weights, np.float64)[usable]
    if not usable.any() or len(cost) < 2:
        return []
    # Choices change where two levels of a file tie, at the slope between them.
    first, second = np.triu_indices(len(cost), 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # levels of equal cost have no price between them
        slopes = (score[second] - score[first]) / (cost[second] - cost[first])[:, None]
    slopes = slopes[np.isfinite(slopes) & (slopes > 0)]
    ties = np.quantile(slopes, np.linspace(0, 1, prices - 1)) if len(slopes) else np.zeros(0)
    asked = np.concatenate([[0.0], ties * (1 + 1e-9)])
    outcomes: dict[float, Outcome] = {}
    for price in asked:
        chosen = (score - price * cost[:, None]).argmax(axis=0)
        spent = float(np.average(cost[chosen], weights=weight))
        mean = float(score[chosen, np.arange(score.shape[1])].mean())
        outcomes[round(spent, 9)] = {"price": float(price), "cost": spent, "score": mean}
    return [outcomes[spent] for spent in sorted(outcomes)]
