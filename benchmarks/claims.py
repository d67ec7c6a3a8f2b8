"""Test the claims of Adaptive Slimming on the runs of sweeps/demucs_claims or sweeps/demucs_60h.

    python benchmarks/claims.py runs/demucs_claims noisy-set -o report

Every finished run is scored, and its scores are stored beside it in scores.json. The results are written to
claims.md and claims.json. Gains are paired by file. With three or more seeds, intervals are those of
Student's t over the means of the seeds. With one or two, they are bootstrap intervals over the files, of each
file's mean over the seeds; with two, the means of the seeds follow.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy import stats

from markdown_tables import heading, interval, row
from sese.evaluation.metrics import check_metrics
from sese.evaluation.pairs import SAMPLE_RATE, Pair, find_pairs, read_pair
from sese.evaluation.suite import score_pairs
from sese.evaluation.summary import bootstrap_mean
from sese.nn import checkpoint
from sese.nn.cost import macs_per_frame
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Plan, utilization
from sese.nn.policies.fixed import level_plan
from sese.training import renamed
from sese.training.sweep import DONE

METRICS = ("pesq", "estoi", "si_sdr")
"""Metrics unless others are named."""

DIGITS = {"pesq_wb": 3, "stoi": 4, "estoi": 4, "si_sdr": 2, "dnsmos_p808": 3}
"""Number of decimals of each column of scores."""

ROUTER = "router"

Row = dict[str, Any]
"""Scores of one model at one level or under its router: arrays over files, and each level's share."""


def main() -> None:
    """Score runs without scores, and compare all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--metrics", default=",".join(METRICS), help="Names of metrics, with commas.")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs, metrics = find_pairs(options.data, None), options.metrics.split(",")
    check_metrics(metrics)
    runs: dict[str, list[dict[str, Row]]] = {}
    for folder in sorted(folder.parent for folder in options.runs.glob(f"*/*/{DONE}")):
        runs.setdefault(folder.parent.name, []).append(scored(folder, pairs, options.jobs, metrics))
    noisy = noisy_row(options.runs / "noisy.json", pairs, options.jobs, metrics)
    parts = compare(runs, noisy)
    dynamic = sorted(options.runs.glob(f"joint-*/*/{DONE}"))
    parts["c, within a file"] = [drop(folder.parent, pairs) for folder in dynamic]
    options.out_dir.mkdir(parents=True, exist_ok=True)
    (options.out_dir / "claims.json").write_text(json.dumps(parts, indent=1) + "\n")
    text = "\n\n".join(f"### {name}\n\n{table(rows)}" for name, rows in parts.items() if rows)
    (options.out_dir / "claims.md").write_text(text + "\n")
    print(text)


# Scores


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
    path.write_text(json.dumps(rows) + "\n")
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
        path.write_text(json.dumps(_scores(clean, noisy, jobs, metrics)) + "\n")
    return json.loads(path.read_text())


def _scores(
    clean: Sequence[np.ndarray], estimates: Sequence[np.ndarray], jobs: int, metrics: Sequence[str]
) -> Row:
    """Return the scores of enhanced files by column."""
    files = score_pairs(clean, estimates, SAMPLE_RATE, metrics=metrics, jobs=jobs)["files"]
    return {name: [file[name] for file in files] for name in columns(files[0])}


def columns(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of scores that a row has."""
    return [name for name in DIGITS if name in row]


def _levels(model: Enhancer) -> list[float]:
    shares = np.cumsum(model.sites[0].shares)
    return [round(float(share), 4) for share in shares]


# Comparisons


def compare(runs: dict[str, list[dict[str, Row]]], noisy: Row) -> dict[str, list[dict[str, str]]]:
    """Return all tables by name."""
    backbone = runs.get("backbone", [])
    alone = [
        {level: rows[level] for rows in seeds for level in rows}
        for seeds in zip(*(runs[name] for name in sorted(runs) if name.startswith("static-")), strict=False)
    ]
    routed = {
        name: [rows[ROUTER] for rows in seeds] for name, seeds in runs.items() if seeds and ROUTER in seeds[0]
    }
    levels = [
        {"model": f"{name} {level}", **summary([rows[level] for rows in seeds], noisy)}
        for name, seeds in runs.items()
        if seeds and ROUTER not in seeds[0]
        for level in seeds[0]
    ]
    models = [{"model": name, **summary(rows, noisy)} for name, rows in routed.items()]
    unprocessed = {"model": "noisy"} | {
        name: f"{np.nanmean(noisy[name]):.{DIGITS[name]}f}" for name in columns(noisy)
    }
    quarter = [rows["1"] for rows in runs.get("static-0.25", [])]
    return {
        "All models": [unprocessed, *levels, *models],
        "a, against the slimmable model's levels": above(routed, backbone),
        "a, against levels trained alone": above(routed, alone),
        "b": cheaper(routed.get("joint-0.1", []), [rows["1"] for rows in backbone if "1" in rows]),
        "b, against a level trained alone": cheaper(routed.get("joint-0.1", []), quarter),
        "c, over files": [
            {"model": name, **correlation(rows, noisy)} for name, rows in routed.items() if "joint" in name
        ],
    }


def summary(rows: Sequence[Row], noisy: Row) -> dict[str, str]:
    """Return a table of means over seeds and files."""
    cells = {"seeds": str(len(rows)), "utilization": f"{_mean(rows, 'utilization'):.3f}"}
    cells["MMAC/s"] = f"{_mean(rows, 'macs_per_second') / 1e6:.2f}"
    cells |= {name: f"{_mean(rows, name):.{DIGITS[name]}f}" for name in columns(rows[0])}
    cells["shares"] = "/".join(
        f"{share:.2f}".lstrip("0") or "0" for share in np.mean([row["shares"] for row in rows], axis=0)
    )
    return cells


def above(routed: dict[str, list[Row]], static: Sequence[dict[str, Row]]) -> list[dict[str, str]]:
    """Return a table of gains of dynamic models over static levels at equal mean MACs, paired by file."""
    lines = []
    for name, rows in routed.items():
        if not name.startswith(("joint", "finetune", "router", "measured")):
            continue
        cells: dict[str, str] = {"model": name, "utilization": f"{_mean(rows, 'utilization'):.3f}"}
        for metric in columns(rows[0]):
            gains = [
                np.subtract(row[metric], on_line(levels, metric, float(np.mean(row["macs_per_second"]))))
                for row, levels in zip(rows, static, strict=False)
                if len(levels) > 1
            ]
            cells[metric] = gain(gains, DIGITS[metric])
        if any(cells[metric] for metric in columns(rows[0])):
            lines.append(cells)
    return lines


def on_line(levels: dict[str, Row], metric: str, macs: float) -> np.ndarray:
    """Return scores of files at a number of MACs per second, interpolated between the two nearest levels."""
    ordered = sorted(levels.values(), key=lambda row: row["macs_per_second"][0])
    costs = [row["macs_per_second"][0] for row in ordered]
    at = int(np.clip(np.searchsorted(costs, macs), 1, len(costs) - 1))
    share = np.clip((macs - costs[at - 1]) / (costs[at] - costs[at - 1]), 0, 1)
    low, high = (np.array(ordered[i][metric], float) for i in (at - 1, at))
    return (1 - share) * low + share * high


def cheaper(dynamic: Sequence[Row], static: Sequence[Row]) -> list[dict[str, str]]:
    """Return a table of the quality and savings of the dynamic model against a static level."""
    if not dynamic or not static:
        return []
    both = list(zip(dynamic, static, strict=False))
    cells = {"seeds": str(len(both))}
    for metric in columns(dynamic[0]):
        gains = [np.subtract(a[metric], b[metric]) for a, b in both]
        cells[f"{metric}, gain"] = gain(gains, DIGITS[metric])
    for name, key in (("slimmable MACs saved", "utilization"), ("all MACs saved", "macs_per_second")):
        saved = [100 * (1 - np.mean(a[key]) / np.mean(b[key])) for a, b in both]
        cells[name] = "%, ".join(f"{value:.0f}" for value in saved) + "%"
    return [cells]


def correlation(rows: Sequence[Row], noisy: Row) -> dict[str, str]:
    """Return the correlation over files of the SI-SDR of the input with the utilization, for each seed."""
    cells = {}
    for name, function in (("Pearson", stats.pearsonr), ("Spearman", stats.spearmanr)):
        values = [function(noisy["si_sdr"], row["utilization"]) for row in rows]
        cells[name] = ", ".join(f"{value.statistic:.2f}" for value in values)
        cells[f"p, {name}"] = ", ".join(f"{value.pvalue:.1g}" for value in values)
    spread = [np.percentile(row["utilization"], (5, 95)) for row in rows]
    cells["5% to 95% of files"] = ", ".join(f"{low:.2f} to {high:.2f}" for low, high in spread)
    return cells


@torch.inference_mode()
def drop(folder: Path, pairs: Sequence[Pair], drop_db: float = 10.0) -> dict[str, str]:
    """Measure the mean utilization of a clip that is repeated, with equal or less noise the second time."""
    model = checkpoint.load(folder / "last")
    used: dict[float, list[float]] = {0.0: [], drop_db: []}
    for pair in pairs:
        clean, noisy = read_pair(pair)
        for lower, changes in used.items():
            second = clean + (noisy - clean) * 10 ** (-lower / 20)
            twice = torch.from_numpy(np.concatenate([noisy, second])).view(1, 1, -1)
            frames = utilization(model.run_clip(twice).plan, model.sites).flatten()
            half = len(noisy) // model.hop_length
            changes.append(float(frames[half : 2 * half].mean() - frames[:half].mean()))
    paired = np.subtract(used[drop_db], used[0.0])
    return {
        "model": f"{folder.parent.name}, {folder.name}",
        "second half, same noise": gain([np.array(used[0.0])], 4),
        f"second half, noise {drop_db:g} dB lower": gain([np.array(used[drop_db])], 4),
        "difference": gain([paired], 4),
    }


def gain(by_seed: Sequence[np.ndarray], digits: int) -> str:
    """Return a mean with its 95% interval as text.

    Args:
        by_seed: Differences of the files, one array (file,) for each seed.
        digits: Number of decimals.
    """
    if not by_seed:
        return ""
    means = [float(np.nanmean(values)) for values in by_seed]
    if len(means) < 3:
        text = interval(bootstrap_mean(np.mean(by_seed, axis=0)), digits)
        return text if len(means) == 1 else f"{text}; {', '.join(f'{mean:+.{digits}f}' for mean in means)}"
    mean = float(np.mean(means))
    half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means))
    return interval({"mean": mean, "low": mean - half, "high": mean + half}, digits)


def _mean(rows: Sequence[Row], key: str) -> float:
    """Return the mean over seeds and files of a column."""
    return float(np.mean([np.nanmean(row[key]) for row in rows]))


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return a Markdown table with the columns of all rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return "\n".join([*heading(names), *(row(each.get(name, "") for name in names) for each in rows)])


if __name__ == "__main__":
    main()
