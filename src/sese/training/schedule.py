"""Learning-rate schedules, as shares of the peak rate."""

from __future__ import annotations

import math


def half_cosine(share: float) -> float:
    """Fall from 1 to 0 along half a cosine.

    Args:
        share: part of the fall that is done, in [0, 1]; beyond 1 the result stays 0.

    Returns:
        Share of the peak rate, in [0, 1].

    Example:
        >>> half_cosine(0.0), half_cosine(1.0)
        (1.0, 0.0)
    """
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def warmed_cosine(step: int, steps: int, warmup: int, final: float) -> float:
    """Rise in a straight line, then fall along half a cosine.

    Args:
        step: number of the step, counted from 0.
        steps: number of steps in the whole training; the fall ends there.
        warmup: number of steps of the rise.
        final: share of the peak at the end, in [0, 1].

    Returns:
        Share of the peak rate, in (0, 1].

    Example:
        >>> [round(warmed_cosine(step, 4, 2, 0.1), 2) for step in range(5)]
        [0.5, 1.0, 1.0, 0.55, 0.1]
    """
    if step < warmup:
        return (step + 1) / warmup
    return final + (1 - final) * half_cosine((step - warmup) / max(1, steps - warmup))
