"""Calls that are timed in turn, so that a machine whose speed drifts slows all of them alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Key = TypeVar("Key")


def in_turn(runs: Mapping[Key, Callable[[], object]], rounds: int, calls: int = 5) -> dict[Key, float]:
    """Return the median CPU time of each call in seconds.

    Args:
        runs: Calls by name.
        rounds: Number of rounds; in each, all calls have a turn, in random order.
        calls: Number of calls in a turn, after one that is not counted.
    """
    taken: dict[Key, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key in random.sample(list(runs), len(runs)):
            runs[key]()
            started = time.process_time()
            for _ in range(calls):
                runs[key]()
            taken[key].append((time.process_time() - started) / calls)
    return {key: statistics.median(times) for key, times in taken.items()}
