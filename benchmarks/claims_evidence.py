"""Collect scores and validations for the verdicts of claims.py, and compare differences with a bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claims_tables import ALONE, BACKBONE, USED, BySeed, Row, Runs, over_files
from sese.core.tables import with_interval
from sese.evaluation.summary import RESAMPLES, SEED

Curve = Sequence[Mapping[str, float]]
"""Validations of a run from first to last: utilization, and SI-SDR of each level, as si_sdr/0."""

Levels = Callable[[str, int], list[tuple[float, float]]]
"""Function from a seed and a validation (-1: the last) to utilization and SI-SDR of levels, lowest first."""

CHANGED = "the validation set changes sides at the end"


@dataclass(frozen=True)
class Evidence:
    """Scores and validations of the runs of a sweep.

    Attributes:
        runs: Rows by level or ``router``, by seed, by name.
        curves: Validations by seed, by name.
        levels: Utilization of each level.
        planned: Seeds by name of all runs of the sweep.
    """

    runs: Runs
    curves: Mapping[str, Mapping[str, Curve]]
    levels: Sequence[float]
    planned: Mapping[str, Sequence[str]]

    def missing(self, names: Sequence[str], seeds: Sequence[str] = ()) -> list[str]:
        """Return the runs that are not there, of these seeds, by default of the planned ones."""
        return [
            f"{name}/{seed}"
            for name in names
            for seed in seeds or self.planned[name]
            if seed not in self.runs.get(name, {})
        ]

    def last_two(self, names: Sequence[str], value: Callable[[str, int], float]) -> list[float]:
        """Return the mean over seeds of a value at the last two validations; empty if there are not two.

        Args:
            names: Names of the runs whose validations the value is from.
            value: Function from a seed and a validation, -1 for the last.
        """
        seeds = [seed for seed in self.curves[names[0]] if all(seed in self.curves[name] for name in names)]
        if any(len(self.curves[name][seed]) < 2 for name in names for seed in seeds):
            return []
        return [float(np.mean([value(seed, back) for seed in seeds])) for back in (-2, -1)]

    def value(self, name: str, key: str, seed: str, back: int) -> float:
        """Return a value of a validation."""
        return self.curves[name][seed][back][key]

    def gain(self, name: str, levels: Levels, seed: str, back: int) -> float:
        """Return a router's gain in SI-SDR over the line through levels, on the validation set."""
        values = self.curves[name][seed][back]
        used, scores = zip(*levels(seed, back), strict=True)
        return values["si_sdr/routed"] - float(np.interp(values[USED], used, scores))

    def backbone(self, seed: str, back: int) -> list[tuple[float, float]]:
        """Return the levels of the slimmable network on the validation set."""
        values = self.curves[BACKBONE][seed][back]
        return [(used, values[f"si_sdr/{level}"]) for level, used in enumerate(self.levels)]

    def alone(self, seed: str, back: int) -> list[tuple[float, float]]:
        """Return the levels trained alone on the validation set."""
        return [
            (used, self.curves[f"{ALONE}{used:g}"][seed][back][f"si_sdr/{level}"])
            for level, used in enumerate(self.levels)
        ]


def steady(validated: Sequence[float], bound: float) -> bool:
    """Return whether the last two validations are on the same side of a bound."""
    return len(validated) == 2 and (validated[0] - bound) * (validated[1] - bound) > 0


def side(
    by_seed: BySeed, bound: float, digits: int, validated: Sequence[float] | None = None
) -> tuple[int, str]:
    """Return 1 for a difference above a bound, -1 below, 0 if not decided; and the difference as text.

    The interval, every seed and the last two validations have to agree.

    Args:
        by_seed: Differences of the files by seed.
        bound: Bound.
        digits: Number of decimals in the text.
        validated: The difference on the validation set at the last two validations; None where that set does
            not have it.
    """
    mean = over_files(by_seed)
    seeds = [float(np.nanmean(values)) for values in by_seed.values()]
    sign = int(mean["low"] > bound) - int(mean["high"] < bound)
    reason = "" if sign else f"the interval reaches {bound:g}"
    if sign and any(sign * (each - bound) <= 0 for each in seeds):
        sign, reason = 0, "the seeds disagree"
    if sign and validated is not None and not steady(validated, bound):
        sign, reason = 0, CHANGED
    shown = f" [{numbers(seeds, digits, '+')}]" if len(seeds) > 1 else ""
    return sign, f"{with_interval(mean, digits, sign=True)}{shown}{because(reason)}"


def step(one: Row, other: Row, measure: Callable[[Row, np.ndarray], float]) -> dict[str, float]:
    """Return how much a measure of several files rises from one row to another, with its interval over files.

    Args:
        one, other: Rows of the same files.
        measure: Function from a row and the numbers of files.
    """
    count = len(one[USED])
    draws = np.random.default_rng(SEED)
    chosen = [draws.integers(count, size=count) for _ in range(RESAMPLES)]
    rises = [measure(other, files) - measure(one, files) for files in chosen]
    low, high = np.percentile(rises, (2.5, 97.5))
    every = np.arange(count)
    return {"mean": measure(other, every) - measure(one, every), "low": float(low), "high": float(high)}


def numbers(values: Sequence[float], digits: int, sign: str = "") -> str:
    """Return numbers as text."""
    return ", ".join(f"{value:{sign}.{digits}f}" for value in values)


def because(reason: str) -> str:
    """Return a reason in brackets, if there is one."""
    return f" ({reason})" if reason else ""
