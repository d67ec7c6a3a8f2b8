"""Utilization of clips that are said twice, with equal or less noise the second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from claims_tables import spread
from sese.evaluation.pairs import Pair, read_pair
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
    return np.mean(middles, axis=0, dtype=float).round(4).tolist()


def drop_rows(name: str, measured: Sequence[Drop]) -> list[dict[str, str]]:
    """Return the rows of a run for a table: mean over the seeds, and each seed.

    Args:
        name: Name of the run.
        measured: Results of its seeds.
    """
    same, lower = ({each.seed: np.array(each.changes[n]) for each in measured} for n in range(2))
    differences = {
        "second half, same noise": same,
        f"second half, noise {DROP_DB:g} dB lower": lower,
        "difference": {seed: lower[seed] - same[seed] for seed in same},
    }
    return [{"model": name, **cells} for cells in spread(differences, dict.fromkeys(differences, 4))]
