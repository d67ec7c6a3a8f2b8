"""Markdown tables for the benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def heading(names: Sequence[str]) -> list[str]:
    """Return the first two lines of a table."""
    return [row(names), row(["---"] * len(names))]


def row(cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cells)} |"


def interval(mean: Mapping[str, float], digits: int = 2, sign: str = "+") -> str:
    """Return a mean with its interval as text.

    Args:
        mean: Result of `bootstrap_mean`: `mean`, `low` and `high`.
        digits: Number of decimals.
        sign: "+" writes the sign of positive numbers, "" does not.
    """
    value, low, high = (f"{mean[key]:{sign}.{digits}f}" for key in ("mean", "low", "high"))
    return f"{value} ({low} to {high})"
