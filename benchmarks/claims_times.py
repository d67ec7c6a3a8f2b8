"""Times of frames for claims.py: the router of a run and the fixed levels of the same file, in turn.

A router's time depends on the levels that it chooses. So a time is the mean over frames, where each frame
counts with its median over the rounds: the same frame has the same level in every round. Runs are timed on
different days, so only times of the same rounds are compared.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from claims_tables import ROUTER
from model_times import FRAME_MS, exported, frame_ms
from sese.evaluation import timing
from sese.evaluation.pairs import Pair, read_pair
from sese.evaluation.scoring import ENHANCER, resolve
from sese.runtime.card import Card


def time_run(weights: Path, level_count: int, clips: Sequence[Pair], rounds: int) -> dict[str, Any]:
    """Export a network with a router and time one frame a call, by its router and at each of its levels.

    Args:
        weights: Folder of weights.
        level_count: Number of levels.
        clips: Clips of the test set that are timed.
        rounds: Number of rounds, 1 or more.

    Returns:
        ``ms`` for 16 ms of audio by level or ``router``, and how they were measured.
    """
    speech = np.concatenate([read_pair(pair)[1] for pair in clips])
    with TemporaryDirectory() as folder:
        enhancer = resolve(ENHANCER)(str(exported(weights, Path(folder) / "model")))
        budgets = {name: budget_of(enhancer.card, name) for name in (*map(str, range(level_count)), ROUTER)}
        streams = {name: enhancer.stream(budget=budget) for name, budget in budgets.items()}
        times = in_rounds(enhancer.card, streams, speech, rounds)
        used = float(streams[ROUTER].utilization)
    return {
        "ms": {name: round(ms, 5) for name, ms in times.items()},
        "frame_ms": FRAME_MS,
        "utilization": round(used, 4),
        "rounds": rounds,
        "files": [pair.name for pair in clips],
        "machine": timing.machine_facts(),
    }


def budget_of(card: Card, level: str) -> str:
    """Return the budget of a level, or of the router."""
    return "auto" if level == ROUTER else f"fixed:{card.levels[int(level)].utilization:g}"


def in_rounds(card: Card, streams: Mapping[str, Any], speech: np.ndarray, rounds: int) -> dict[str, float]:
    """Return milliseconds for 16 ms of audio by stream; in each round all streams have a turn.

    Another stream is the first in each round, as the first one may take longer.
    """
    names = list(streams)
    taken: dict[str, list[np.ndarray]] = {name: [] for name in streams}
    for number in range(rounds):
        print(f"timing, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            taken[name].append(frame_ms(card, streams[name], speech, len(speech) // card.hop_length))
    return {name: float(np.median(frames, axis=0).mean()) for name, frames in taken.items()}
