"""Times of frames for claims.py: fixed levels and routers in turn, on noisy clips of the test set.

A router's time depends on the levels that it chooses. So a time is the mean over frames, where each frame
counts with its median over the rounds: the same frame has the same level in every round.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from claims_tables import MS, ROUTER, Row, Runs
from model_times import FRAME_MS, exported, frame_ms
from sese.evaluation import report, timing
from sese.evaluation.pairs import Pair, read_pair
from sese.evaluation.scoring import ENHANCER, resolve
from sese.runtime.card import Card

Place = tuple[str, str, str]
"""Name of a run, its seed's folder, and a level or ``router``."""


def time_runs(
    runs: Runs, folders: Mapping[str, Sequence[Path]], clips: Sequence[Pair], out_dir: Path, rounds: int
) -> dict[str, list[dict[str, Row]]]:
    """Export and time runs, write times.json, and return the rows with their times.

    Args:
        runs: Rows by level or ``router`` of each seed, by name.
        folders: Folders of the same seeds, by name.
        clips: Clips of the test set that are timed.
        out_dir: Folder for times.json and the exported models.
        rounds: Number of rounds, 1 or more.
    """
    speech = np.concatenate([read_pair(pair)[1] for pair in clips])
    streams = open_streams(runs, folders, out_dir / "models")
    times = in_rounds(streams, speech, rounds)
    lines = [
        {
            "run": name,
            "seed": seed,
            "level": level,
            MS: times[name, seed, level],
            "utilization": float(stream.utilization),
        }
        for (name, seed, level), (_, stream) in streams.items()
    ]
    about = {"rounds": rounds, "frame_ms": FRAME_MS, "files": [pair.name for pair in clips]}
    content = {**about, "machine": timing.machine_facts(), "times": lines}
    report.write_files(out_dir, "times", {"json": report.to_json(content)})
    return with_times(runs, folders, times)


def open_streams(
    runs: Runs, folders: Mapping[str, Sequence[Path]], models: Path
) -> dict[Place, tuple[Card, Any]]:
    """Open a stream of each router, and of each level of the first seed of the other runs."""
    streams = {}
    for name, seeds in runs.items():
        for folder, rows in zip(folders[name], seeds, strict=True):
            if ROUTER in rows or folder == folders[name][0]:
                # The last weights are those that are scored.
                model = exported(folder / "last", models / f"{name}-{folder.name}")
                enhancer = resolve(ENHANCER)(str(model))
                for level in rows:
                    stream = enhancer.stream(budget=budget_of(enhancer.card, level))
                    streams[name, folder.name, level] = enhancer.card, stream
    return streams


def budget_of(card: Card, level: str) -> str:
    """Return the budget of a level, or of the router."""
    return "auto" if level == ROUTER else f"fixed:{card.levels[int(level)].utilization:g}"


def in_rounds(
    streams: Mapping[Place, tuple[Card, Any]], speech: np.ndarray, rounds: int
) -> dict[Place, float]:
    """Return milliseconds for 16 ms of audio by place; in each round all streams have a turn."""
    taken: dict[Place, list[np.ndarray]] = {place: [] for place in streams}
    for number in range(rounds):
        print(f"timing, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for place, (card, stream) in streams.items():
            taken[place].append(frame_ms(card, stream, speech, len(speech) // card.hop_length))
    return {place: float(np.median(frames, axis=0).mean()) for place, frames in taken.items()}


def with_times(
    runs: Runs, folders: Mapping[str, Sequence[Path]], times: Mapping[Place, float]
) -> dict[str, list[dict[str, Row]]]:
    """Return the rows with their times; the first seed's time of a fixed level stands for all seeds."""
    timed: dict[str, list[dict[str, Row]]] = {}
    for name, seeds in runs.items():
        timed[name] = []
        for folder, rows in zip(folders[name], seeds, strict=True):
            first = folders[name][0].name
            seed_of = {level: folder.name if level == ROUTER else first for level in rows}
            found = {level: times.get((name, seed_of[level], level)) for level in rows}
            timed[name].append(
                {
                    level: row if found[level] is None else {**row, MS: [found[level]]}
                    for level, row in rows.items()
                }
            )
    return timed
