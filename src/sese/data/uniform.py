"""Random values in a range, from uniform random numbers in [0, 1)."""

from __future__ import annotations


def between(limits: tuple[float, float], uniform: float) -> float:
    """Return a value between two limits, uniformly distributed."""
    return float(limits[0] + (limits[1] - limits[0]) * uniform)


def log_between(limits: tuple[float, float], uniform: float) -> float:
    """Return a value between two positive limits, whose logarithm is uniformly distributed."""
    return float(limits[0] * (limits[1] / limits[0]) ** uniform)
