"""Turn scores per file into means with intervals, improvements and breakdowns.

A score that is not finite is left out of the mean and counted beside it, never dropped silently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sese.evaluation.results import Failure, Mean, SnrGroup

RESAMPLES, SEED = 2000, 0
INTERVAL = f"95% percentile bootstrap over files, {RESAMPLES} resamples, seed {SEED}"

Row = Mapping[str, Any]


def bootstrap_mean(values: ArrayLike, resamples: int = RESAMPLES, seed: int = SEED) -> Mean:
    """Return the mean of the finite values, its 95% bootstrap interval, and their number.

    Returns:
        `mean`, `low`, `high` (NaN without a finite value), `count` of finite values, and `failures`, the
        count of the others. The same values and seed give the same interval.

    Example:
        >>> found = bootstrap_mean([1.0, 2.0, 3.0, float("nan")])
        >>> found["mean"], found["count"], found["failures"]
        (2.0, 3, 1)
    """
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    counts = {"count": len(finite), "failures": len(array) - len(finite)}
    if not len(finite):
        return {"mean": math.nan, "low": math.nan, "high": math.nan, **counts}
    generator = np.random.default_rng(seed)
    means = [finite[generator.integers(len(finite), size=len(finite))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": float(finite.mean()), "low": float(low), "high": float(high), **counts}


def summarize(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Mean]:
    """Return `bootstrap_mean` of each of `columns` over `rows`, one row per file."""
    return {column: bootstrap_mean([row[column] for row in rows]) for column in columns}


def improvements(rows: Sequence[Row], noisy: Sequence[Row], columns: Sequence[str]) -> dict[str, Mean]:
    """Return `bootstrap_mean` of the difference to the noisy input, file by file, in the same order.

    A file counts as a failure when either score is not finite.
    """
    result = {}
    for column in columns:
        after, before = (np.array([row[column] for row in side], np.float64) for side in (rows, noisy))
        usable = np.isfinite(after) & np.isfinite(before)
        result[column] = bootstrap_mean(
            np.subtract(after, before, out=np.full_like(after, np.nan), where=usable)
        )
    return result


def by_input_snr(rows: Sequence[Row], columns: Sequence[str]) -> list[SnrGroup]:
    """Return means of `columns` per input SNR of the rows that have one, from low to high.

    Up to eight different SNRs are kept apart; more are put into steps of 5 dB, named by their lower edge.
    """
    known = [row for row in rows if row["snr_db"] is not None]
    exact = len({row["snr_db"] for row in known}) <= 8
    groups: dict[float, list[Row]] = {}
    for row in known:
        groups.setdefault(row["snr_db"] if exact else math.floor(row["snr_db"] / 5) * 5.0, []).append(row)
    return [
        {
            "snr_db": snr,
            "width_db": 0.0 if exact else 5.0,
            "files": len(group),
            "mean": {column: _finite_mean([row[column] for row in group]) for column in columns},
        }
        for snr, group in sorted(groups.items())
    ]


def failures(rows: Sequence[Row], columns: Sequence[str]) -> list[Failure]:
    """Return the file, level and column of each score that is not finite."""
    return [
        {"file": row["file"], "level": row["level"], "column": column}
        for row in rows
        for column in columns
        if not math.isfinite(row[column])
    ]


def _finite_mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
