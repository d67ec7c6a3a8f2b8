"""Measure how well predictions agree with PESQ: MSE, Pearson, Spearman, with intervals over speakers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES, SEED = 2000, 0
INTERVAL = f"95% percentile bootstrap over speakers, {RESAMPLES} resamples, seed {SEED}"


def mse(predicted: NDArray, true: NDArray) -> float:
    """Return the mean squared error of [clip] against [clip]."""
    return float(np.mean((predicted - true) ** 2))


def pearson(predicted: NDArray, true: NDArray) -> float:
    """Return the correlation; 0 where one side does not vary.

    SciPy's function computes a p-value besides, and takes twenty times as long: too long for `RESAMPLES`.

    Example:
        >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
        1.0
    """
    a, b = predicted - predicted.mean(), true - true.mean()
    power = float(a @ a) * float(b @ b)
    return float(a @ b) / power**0.5 if power > 0 else 0.0


def spearman(predicted: NDArray, true: NDArray) -> float:
    """Return the correlation of the ranks; equal values share the mean of theirs."""
    return pearson(ranks(predicted), ranks(true))


def ranks(values: NDArray) -> NDArray[np.float64]:
    """Return ranks from 1; equal values share the mean of theirs.

    Example:
        >>> ranks(np.array([0.5, 0.1, 0.5])).tolist()
        [2.5, 1.0, 2.5]
    """
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[where]


MEASURES = {"mse": mse, "pearson": pearson, "spearman": spearman}


def measure(
    predicted: ArrayLike, true: ArrayLike, groups: ArrayLike, against: ArrayLike | None = None
) -> dict[str, dict[str, float]]:
    """Return each of `MEASURES` with its interval, clips of one group staying together.

    Args:
        predicted, true: [clip].
        groups: [clip], whole numbers: the speaker of each.
        against: other predictions [clip]; then what is measured is the difference to theirs.

    Returns:
        Name -> `value`, `low`, `high`.
    """
    p, t = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    other = None if against is None else np.asarray(against, np.float64)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(group == number) for number in range(group.max() + 1)]

    def values(rows: NDArray[np.intp]) -> list[float]:
        got = [function(p[rows], t[rows]) for function in MEASURES.values()]
        if other is not None:
            theirs = [function(other[rows], t[rows]) for function in MEASURES.values()]
            got = [a - b for a, b in zip(got, theirs, strict=True)]
        return got

    generator = np.random.default_rng(SEED)
    drawn = [
        values(np.concatenate([members[g] for g in generator.integers(len(members), size=len(members))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    all_ = values(np.arange(len(p)))
    return {
        name: {"value": all_[i], "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(MEASURES)
    }
