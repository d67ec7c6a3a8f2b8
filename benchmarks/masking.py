"""Bitwise networks and hashes on unseen speech and noise: what each does for SDR, SI-SDR and PESQ, and against what.

    python benchmarks/masking.py runs/gru runs/boosted_hashing ... --data noisy-set -o report [--limit 120]

Scores each run's `best/` at every level, the noisy input, and for hashes two controls in the same dictionary: the nearest
frames by their spectra, and by their true masks, which no search can beat. Prints means with bootstrap intervals, and the
differences between every run and the first of its kind, paired by file. Scores are kept in OUT/scores.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sese.evaluation.metrics import pesq_wb, sdr, si_sdr
from sese.evaluation.pairs import SAMPLE_RATE, find_pairs, read_pair
from sese.evaluation.summary import bootstrap_mean
from sese.nn import checkpoint
from sese.nn.policies.fixed import level_plans

METRICS: dict[str, Callable[[NDArray, NDArray], float]] = {
    "SDR": sdr,
    "SI-SDR": si_sdr,
    "PESQ": lambda clean, made: pesq_wb(clean, made, SAMPLE_RATE),
}
DIGITS = {"SDR": 2, "SI-SDR": 2, "PESQ": 3}
NOISY = "noisy"

Scores = dict[str, dict[str, list[float]]]
"""What was scored -> metric -> one value a file."""


def main() -> None:
    """Score what is not scored yet, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = [read_pair(pair) for pair in find_pairs(options.data, options.limit)]
    options.out_dir.mkdir(parents=True, exist_ok=True)
    path = options.out_dir / "scores.json"
    scores: Scores = json.loads(path.read_text()) if path.exists() else {}
    for run in [None, *options.runs]:
        if (NOISY if run is None else f"{run.name} 0") not in scores:
            scores |= {NOISY: score(pairs, lambda noisy: noisy)} if run is None else score_run(run, pairs)
            path.write_text(json.dumps(scores) + "\n")
    print(as_table(scores))


def score_run(run: Path, pairs: Sequence[tuple[NDArray, NDArray]]) -> Scores:
    """Scores of a run at each of its levels, cheapest first."""
    model = checkpoint.load(run / "best")
    scores = {}
    for level, plan in enumerate(level_plans(model)):

        @torch.inference_mode()
        def enhance(noisy: NDArray, plan=plan) -> NDArray:
            return model.enhance_clip(torch.from_numpy(noisy).view(1, 1, -1), plan).flatten().numpy()

        scores[f"{run.name} {level}"] = score(pairs, enhance)
        print(f"scored {run.name} {level}", flush=True)
    return scores


def score(
    pairs: Sequence[tuple[NDArray, NDArray]], enhance: Callable[[NDArray], NDArray]
) -> dict[str, list[float]]:
    """Every metric of every file."""
    made = [(clean, enhance(noisy)) for clean, noisy in pairs]
    return {name: [metric(*pair) for pair in made] for name, metric in METRICS.items()}


def as_table(scores: Scores) -> str:
    """Means and gains over the noisy input, each with its interval."""
    names = [column for name in METRICS for column in (name, f"{name} gained")]
    lines = [f"| | {' | '.join(names)} |", f"|{' --- |' * (len(names) + 1)}"]
    for name, values in scores.items():
        cells = [name]
        for metric in METRICS:
            mean = bootstrap_mean(values[metric])
            cells.append(f"{mean['mean']:.{DIGITS[metric]}f}")
            cells.append("" if name == NOISY else difference(values, scores[NOISY], metric))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def difference(values: dict[str, list[float]], others: dict[str, list[float]], metric: str) -> str:
    """Mean difference with its interval, paired by file."""
    mean = bootstrap_mean(np.subtract(values[metric], others[metric]))
    digits = DIGITS[metric]
    return f"{mean['mean']:+.{digits}f} ({mean['low']:+.{digits}f} to {mean['high']:+.{digits}f})"


if __name__ == "__main__":
    main()
