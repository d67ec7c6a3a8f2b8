"""Score bitwise networks and hashes on unseen speech and noise: SDR, SI-SDR and PESQ.

    python benchmarks/masking.py runs/gru runs/boosted_hashing ... --data noisy-set -o report [--limit 120]

The `best/` of each run is scored at every level, beside the noisy input. With --controls, the dictionaries of
hashes are also searched without a hash. The output is a table of means, and of differences from the noisy
input or from the row named by --against, paired by file, with bootstrap intervals. Scores are stored in
OUT/scores.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sese.core.tables import table, with_interval
from sese.evaluation.metrics import pesq_wb, sdr, si_sdr
from sese.evaluation.pairs import SAMPLE_RATE, find_pairs, read_pair
from sese.evaluation.summary import bootstrap_mean
from sese.nn import checkpoint
from sese.nn.backbones.boosted_hashing import BoostedHashing, with_one
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan
from sese.nn.policies.fixed import level_plans
from sese.nn.state import fresh
from sese.training.config import read
from sese.training.data import MixtureData
from sese.training.methods import boosting
from sese.training.run_folder import RESOLVED

METRICS: dict[str, Callable[[NDArray, NDArray], float]] = {
    "SDR": sdr,
    "SI-SDR": si_sdr,
    "PESQ": lambda clean, made: pesq_wb(clean, made, SAMPLE_RATE),
}
DIGITS = {"SDR": 2, "SI-SDR": 2, "PESQ": 3}
NOISY = "noisy"

Enhance = Callable[[NDArray, NDArray], NDArray]
"""Noisy, clean (time,) -> what is made of the noisy one; only controls look at the clean one."""

Scores = dict[str, dict[str, list[float]]]
"""Name of a network or signal -> metric -> one value for each file."""


def main() -> None:
    """Compute the missing scores and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--controls", action="store_true", help="search a hash's dictionary without it, too")
    parser.add_argument(
        "--split", type=float, nargs="*", default=[], help="edges in dB; a table for each part"
    )
    parser.add_argument("--against", default=NOISY, help="row of the table to compare with")
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = find_pairs(options.data, options.limit)
    pairs = [read_pair(pair) for pair in found]
    options.out_dir.mkdir(parents=True, exist_ok=True)
    path = options.out_dir / "scores.json"
    scores: Scores = json.loads(path.read_text()) if path.exists() else {}
    for run in [None, *options.runs]:
        if (NOISY if run is None else f"{run.name} 0") not in scores:
            unchanged = {NOISY: score(pairs, lambda noisy, clean: noisy)}
            scores |= unchanged if run is None else score_run(run, pairs, options.controls)
            path.write_text(json.dumps(scores) + "\n")
    print(as_table(scores, options.against))
    for low, high in pairwise(options.split):
        chosen = [pair.snr_db is not None and low <= pair.snr_db < high for pair in found]
        if any(chosen):
            print(f"\nInput SNR from {low:g} to {high:g} dB, {sum(chosen)} files:\n")
            print(as_table(only(scores, chosen), options.against))


def score_run(run: Path, pairs: Sequence[tuple[NDArray, NDArray]], controls: bool) -> Scores:
    """Return the scores of a run at each level, lowest first, and of the controls of hashes if wanted."""
    model = checkpoint.load(run / "best")
    ways: dict[str, Enhance] = {}
    for level, plan in enumerate(level_plans(model)):

        def enhance(noisy: NDArray, clean: NDArray, plan: Plan = plan) -> NDArray:
            return model.enhance_clip(torch.from_numpy(noisy).view(1, 1, -1), plan).flatten().numpy()

        ways[f"{run.name} {level}"] = enhance
    if controls and isinstance(model.backbone, BoostedHashing):
        ways |= {f"{run.name} {name}": way for name, way in nearest_frames(run, model).items()}
    scores = {}
    for name, way in ways.items():
        with torch.inference_mode():
            scores[name] = score(pairs, way)
        print(f"scored {name}", flush=True)
    return scores


def nearest_frames(run: Path, model: Enhancer) -> dict[str, Enhance]:
    """Return enhancement by the nearest frames of the dictionary of a run, found without a hash.

    `spectra`: by the cosine of the spectra. `centred`: by the cosine of the spectra minus their mean. `true
    masks`: by the number of equal bins of the ideal masks, which needs the clean speech; no search can do
    better.
    """
    config = read(run / RESOLVED)
    mixtures = MixtureData(config)
    mixtures.setup("fit")
    magnitudes, masks = boosting.dictionary(model, mixtures.mixer("cpu"), config)
    held = with_one(magnitudes)[:, :-1]
    centre = held.mean(0)

    def way(kind: str) -> Enhance:
        def enhance(noisy: NDArray, clean: NDArray) -> NDArray:
            padded = torch.nn.functional.pad(
                torch.from_numpy(np.stack([noisy, clean])), (0, model.padding(len(noisy)))
            )
            state = fresh(model.features.state_shapes(), 1, padded)
            signal, spectrum, _ = model.features(padded[:1], state)
            heard = with_one(signal.unflatten(1, (-1, model.backbone.bins)))[0, :, :-1]
            if kind == "true masks":
                aim = boosting.ideal_masks(model, spectrum, padded[1:])[0]
                alike = (2 * aim - 1) @ (2 * masks - 1).t()
            elif kind == "centred":
                alike = unit(heard - centre) @ unit(held - centre).t()
            else:
                alike = heard @ held.t()
            mask = masks[alike.topk(model.backbone.neighbours, dim=1).indices].mean(1)
            made, _ = model.head(mask.flatten()[None], spectrum, fresh(model.head.state_shapes(), 1, padded))
            late = model.lookahead_samples
            return made[0, late : late + len(noisy)].numpy()

        return enhance

    return {kind: way(kind) for kind in ("spectra", "centred", "true masks")}


def unit(x: torch.Tensor) -> torch.Tensor:
    """Return rows scaled to a norm of 1."""
    return torch.nn.functional.normalize(x, dim=1)


def score(pairs: Sequence[tuple[NDArray, NDArray]], enhance: Enhance) -> dict[str, list[float]]:
    """Return all metrics of each file."""
    made = [(clean, enhance(noisy, clean)) for clean, noisy in pairs]
    return {name: [metric(*pair) for pair in made] for name, metric in METRICS.items()}


def as_table(scores: Scores, against: str = NOISY) -> str:
    """Return a table of means, and of differences from one of the rows, with intervals."""
    names = [column for name in METRICS for column in (name, f"over {against}")]
    rows = []
    for name, values in scores.items():
        cells = [name]
        for metric in METRICS:
            cells.append(f"{bootstrap_mean(values[metric])['mean']:.{DIGITS[metric]}f}")
            cells.append("" if name == against else difference(values, scores[against], metric))
        rows.append(cells)
    return "\n".join(table(["", *names], rows))


def only(scores: Scores, chosen: Sequence[bool]) -> Scores:
    """Return the scores of some of the files."""
    return {
        name: {
            metric: [v for v, take in zip(column, chosen, strict=True) if take]
            for metric, column in of.items()
        }
        for name, of in scores.items()
    }


def difference(values: dict[str, list[float]], others: dict[str, list[float]], metric: str) -> str:
    """Return a mean difference with its interval, paired by file."""
    gain = bootstrap_mean(np.subtract(values[metric], others[metric]))
    return with_interval(gain, DIGITS[metric], sign=True)


if __name__ == "__main__":
    main()
