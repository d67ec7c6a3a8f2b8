"""Test the claims of Adaptive Slimming on the runs of sweeps/demucs_claims or sweeps/demucs_60h.

    python benchmarks/claims.py runs/demucs_claims noisy-set -o report

Every finished run is scored, and its scores are stored beside it in scores.json. The results are written to
claims.md and claims.json, with figures beside them. Gains are paired by file. With three or more seeds,
intervals are those of Student's t over the means of the seeds. With one or two, they are bootstrap intervals
over the files, of each file's mean over the seeds; with two, the means of the seeds follow.

With --rounds, each run with a router and the first seed of the others is exported, and its levels and routers
are timed in turn. The times are written to times.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

import claims_figures
from claims_drop import drop_cells, stored_drop
from claims_tables import ROUTER, Row, columns, compare, table
from claims_times import time_runs
from exit_codes import exit_code
from sese.core.errors import InputError
from sese.evaluation import plots, report
from sese.evaluation.metrics import check_metrics
from sese.evaluation.pairs import SAMPLE_RATE, Pair, find_pairs, read_pair
from sese.evaluation.suite import score_pairs
from sese.nn import checkpoint
from sese.nn.cost import macs_per_frame
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, utilization
from sese.nn.policies.fixed import level_plan
from sese.training import renamed
from sese.training.sweep import DONE

METRICS = ("pesq", "estoi", "si_sdr")
"""Metrics unless others are named."""

TIMED = 16
"""Number of clips that are timed, spread over the test set."""


def main() -> int:
    """Run the command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder of the sweep's runs")
    parser.add_argument("data", type=Path, help="folder with clean/ and noisy/")
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--metrics", default=",".join(METRICS), help="names of metrics, with commas")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score")
    parser.add_argument(
        "--rounds", type=int, default=0, help="of timing; 0, the default, leaves the times out"
    )
    options = parser.parse_args()
    return exit_code("claims", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Score runs without scores, time them where asked, compare all, and write tables and figures."""
    if options.rounds < 0:
        raise InputError(f"--rounds is {options.rounds}; use 0 or more")
    torch.set_num_threads(1)
    pairs, metrics = find_pairs(options.data), options.metrics.split(",")
    if "si_sdr" not in check_metrics(metrics):
        raise InputError("--metrics has no si_sdr, which claim (c) is about; add it")
    report.make_folder(options.out_dir)
    folders: dict[str, list[Path]] = {}
    for done in sorted(options.runs.glob(f"*/*/{DONE}")):
        folders.setdefault(done.parent.parent.name, []).append(done.parent)
    if not folders:
        raise InputError(f"{options.runs} holds no finished run; train the sweep first")
    runs = {
        name: [scored(folder, pairs, options.jobs, metrics) for folder in seeds]
        for name, seeds in folders.items()
    }
    noisy = noisy_row(options.runs / "noisy.json", pairs, options.jobs, metrics)
    if options.rounds:
        clips = find_pairs(options.data, TIMED)
        runs = time_runs(runs, folders, clips, options.out_dir, options.rounds)
    joint = [name for name in folders if name.startswith("joint-")]
    drops = [stored_drop(folder, pairs) for name in joint for folder in folders[name]]
    parts = compare(runs, noisy)
    parts["c, within a file"] = [drop_cells(each) for each in drops]
    text = "\n\n".join(f"### {name}\n\n{table(rows)}" for name, rows in parts.items() if rows)
    contents: dict[str, str | bytes] = {"json": json.dumps(parts, indent=1) + "\n", "md": text + "\n"}
    written = report.write_files(options.out_dir, "claims", contents)
    for name, figure in claims_figures.draw(runs, noisy, drops).items():
        written += report.write_files(options.out_dir, name, {"png": plots.to_png(figure, 130)})
    print(text)
    for path in written:
        print(f"wrote {path}", file=sys.stderr)


def scored(
    folder: Path, pairs: Sequence[Pair], jobs: int, metrics: Sequence[str] = METRICS
) -> dict[str, Row]:
    """Return the scores of a run by level or ``router``, from its file of scores where it exists."""
    path = folder / "scores.json"
    if path.exists():
        return json.loads(path.read_text())
    settings = renamed.sections(yaml.safe_load((folder / "config.yaml").read_text()))["training"]
    model = checkpoint.load(folder / "last")
    if settings["method"] in ("routing", "routing_from_errors"):
        names = [ROUTER]
    else:
        shares = settings["random_level"]["shares"] or [1] * max(site.units for site in model.sites)
        names = [str(level) for level, share in enumerate(shares) if share]
    rows = {name: score_row(model, name, pairs, jobs, metrics) for name in names}
    report.write_files(folder, path.stem, {"json": json.dumps(rows) + "\n"})
    print(f"scored {folder}", flush=True)
    return rows


@torch.inference_mode()
def score_row(
    model: Enhancer, name: str, pairs: Sequence[Pair], jobs: int, metrics: Sequence[str] = METRICS
) -> Row:
    """Return scores, utilization and MACs per second of each file."""
    plan: Plan | None = None if name == ROUTER else level_plan(model.sites, int(name))
    clean, estimates, used, macs, shares = [], [], [], [], []
    for pair in pairs:
        reference, noisy = read_pair(pair)
        enhanced = model.run_clip(torch.from_numpy(noisy).view(1, 1, -1), plan)
        clean.append(reference)
        estimates.append(enhanced.audio.flatten().numpy())
        frames = utilization(enhanced.plan, model.sites)
        used.append(float(frames.mean()))
        frame_macs = macs_per_frame(model, enhanced.plan, routed=plan is None)
        macs.append(float(frame_macs.mean()) * model.sample_rate / model.hop_length)
        shares.append([float((frames.round(decimals=4) == level).float().mean()) for level in _levels(model)])
    return {
        **_scores(clean, estimates, jobs, metrics),
        "utilization": used,
        "macs_per_second": macs,
        "shares": np.mean(shares, axis=0).tolist(),
    }


def noisy_row(path: Path, pairs: Sequence[Pair], jobs: int, metrics: Sequence[str] = METRICS) -> Row:
    """Return scores of the noisy input."""
    if not path.exists():
        clean, noisy = zip(*(read_pair(pair) for pair in pairs), strict=True)
        scores = json.dumps(_scores(clean, noisy, jobs, metrics)) + "\n"
        report.write_files(path.parent, path.stem, {"json": scores})
    return json.loads(path.read_text())


def _scores(
    clean: Sequence[np.ndarray], estimates: Sequence[np.ndarray], jobs: int, metrics: Sequence[str]
) -> Row:
    """Return the scores of enhanced files by column."""
    files = score_pairs(clean, estimates, SAMPLE_RATE, metrics=metrics, jobs=jobs)["files"]
    return {name: [file[name] for file in files] for name in columns(files[0])}


def _levels(model: Enhancer) -> list[float]:
    shares = np.cumsum(model.sites[0].shares)
    return [round(float(share), 4) for share in shares]


if __name__ == "__main__":
    sys.exit(main())
