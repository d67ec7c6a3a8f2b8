"""Utilization of clips that are said twice, with equal or less noise the second time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from claims_tables import gain
from sese.evaluation.pairs import Pair, read_pair
from sese.evaluation.report import write_files
from sese.nn import checkpoint
from sese.nn.plan import utilization

DROP_DB = 10.0
LOWER_DB = (0.0, DROP_DB)
"""Noise of the second half below that of the first in dB, in the order of the lists of `Drop`."""


@dataclass(frozen=True)
class Drop:
    """Utilization of clips that are said twice, for the same noise and for less noise in the second half.

    Attributes:
        model: Name of the run.
        seed: Name of the seed's folder.
        files: Names of the clips.
        frame_s: Length of a frame in seconds.
        changes: Mean of the second half less mean of the first, one list [file] for each of `LOWER_DB`.
        courses: Mean over the clips, one list [frame] for each of `LOWER_DB`. Clips of different lengths are
            aligned at the middle, and only frames that all have are here.
    """

    model: str
    seed: str
    files: list[str]
    frame_s: float
    changes: list[list[float]]
    courses: list[list[float]]


def stored_drop(folder: Path, pairs: Sequence[Pair]) -> Drop:
    """Return `drop` of a run, from drop.json beside it where that is of the same clips."""
    path = folder / "drop.json"
    if path.exists():
        stored = Drop(**json.loads(path.read_text()))
        if stored.files == [pair.name for pair in pairs]:
            return stored
    measured = drop(folder, pairs)
    write_files(folder, path.stem, {"json": json.dumps(asdict(measured)) + "\n"})
    return measured


@torch.inference_mode()
def drop(folder: Path, pairs: Sequence[Pair]) -> Drop:
    """Measure the utilization of clips that are said twice, with equal or less noise the second time."""
    model = checkpoint.load(folder / "last")
    changes: list[list[float]] = [[] for _ in LOWER_DB]
    frames: list[list[np.ndarray]] = [[] for _ in LOWER_DB]
    for pair in pairs:
        clean, noisy = read_pair(pair)
        half = len(noisy) // model.hop_length
        for number, lower in enumerate(LOWER_DB):
            second = clean + (noisy - clean) * 10 ** (-lower / 20)
            twice = torch.from_numpy(np.concatenate([noisy, second])).view(1, 1, -1)
            used = utilization(model.run_clip(twice).plan, model.sites).flatten()[: 2 * half].numpy()
            changes[number].append(float(used[half:].mean() - used[:half].mean()))
            frames[number].append(used)
    return Drop(
        model=folder.parent.name,
        seed=folder.name,
        files=[pair.name for pair in pairs],
        frame_s=model.hop_length / model.sample_rate,
        changes=changes,
        courses=[mean_course(clips) for clips in frames],
    )


def mean_course(clips: Sequence[np.ndarray]) -> list[float]:
    """Return the mean over clips [frame], aligned at their middles, of the frames that all have."""
    half = min(len(clip) // 2 for clip in clips)
    middles = [clip[len(clip) // 2 - half : len(clip) // 2 + half] for clip in clips]
    return np.mean(middles, axis=0).round(5).tolist()


def drop_cells(measured: Drop) -> dict[str, str]:
    """Return the row of a run for a table."""
    same, lower = (np.array(changes) for changes in measured.changes)
    return {
        "model": f"{measured.model}, {measured.seed}",
        "second half, same noise": gain([same], 4),
        f"second half, noise {DROP_DB:g} dB lower": gain([lower], 4),
        "difference": gain([lower - same], 4),
    }
