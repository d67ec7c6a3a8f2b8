"""Tables of claims.py: models, and what each claim compares, from scores of files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from markdown_tables import heading, interval, row
from sese.evaluation.summary import bootstrap_mean

DIGITS = {"pesq_wb": 3, "stoi": 4, "estoi": 4, "si_sdr": 2, "dnsmos_p808": 3}
"""Number of decimals of each column of scores."""

ROUTER = "router"
MACS, MS = "macs_per_second", "ms"
"""Columns of costs: MACs a second of each file; milliseconds of a frame of 16 ms, one value, if measured."""

Row = dict[str, Any]
"""Scores of one model at one level or under its router: arrays over files, and each level's share."""

Runs = Mapping[str, Sequence[dict[str, Row]]]
"""Rows by level or ``router`` of each seed, by name of the run."""


def columns(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of scores that a row has."""
    return [name for name in DIGITS if name in row]


def compare(runs: Runs, noisy: Row) -> dict[str, list[dict[str, str]]]:
    """Return all tables by name."""
    backbone, alone = runs.get("backbone", []), levels_alone(runs)
    routed = routers(runs)
    levels = [
        {"model": f"{name} {level}", **summary([rows[level] for rows in seeds])}
        for name, seeds in runs.items()
        if name not in routed and seeds
        for level in seeds[0]
    ]
    models = [{"model": name, **summary(rows)} for name, rows in routed.items()]
    unprocessed = {"model": "noisy"} | {
        name: f"{np.nanmean(noisy[name]):.{DIGITS[name]}f}" for name in columns(noisy)
    }
    quarter = [rows["1"] for rows in runs.get("static-0.25", [])]
    return {
        "All models": [unprocessed, *levels, *models],
        "a, against the slimmable model's levels": above(routed, backbone),
        "a, against the slimmable model's levels, at equal time": above(routed, backbone, MS),
        "a, against levels trained alone": above(routed, alone),
        "a, against levels trained alone, at equal time": above(routed, alone, MS),
        "b": cheaper(routed.get("joint-0.1", []), [rows["1"] for rows in backbone if "1" in rows]),
        "b, against a level trained alone": cheaper(routed.get("joint-0.1", []), quarter),
        "c, over files": [
            {"model": name, **correlation(rows, noisy)} for name, rows in routed.items() if "joint" in name
        ],
    }


def routers(runs: Runs) -> dict[str, list[Row]]:
    """Return the rows of each seed of the runs that have a router."""
    return {
        name: [rows[ROUTER] for rows in seeds] for name, seeds in runs.items() if seeds and ROUTER in seeds[0]
    }


def levels_alone(runs: Runs) -> list[dict[str, Row]]:
    """Return the rows by level of each seed, of the runs that train one level."""
    statics = [runs[name] for name in sorted(runs) if name.startswith("static-")]
    return [{level: rows[level] for rows in seeds for level in rows} for seeds in zip(*statics, strict=False)]


def summary(rows: Sequence[Row]) -> dict[str, str]:
    """Return a table of means over seeds and files."""
    cells = {"seeds": str(len(rows)), "utilization": f"{_mean(rows, 'utilization'):.3f}"}
    cells["MMAC/s"] = f"{_mean(rows, MACS) / 1e6:.2f}"
    if all(MS in row for row in rows):
        cells["ms"] = f"{_mean(rows, MS):.3f}"
    cells |= {name: f"{_mean(rows, name):.{DIGITS[name]}f}" for name in columns(rows[0])}
    cells["shares"] = "/".join(
        f"{share:.2f}".lstrip("0") or "0" for share in np.mean([row["shares"] for row in rows], axis=0)
    )
    return cells


def above(
    routed: Mapping[str, Sequence[Row]], static: Sequence[dict[str, Row]], cost: str = MACS
) -> list[dict[str, str]]:
    """Return a table of gains of dynamic models over static levels at equal mean cost, paired by file.

    Models and levels whose cost is missing are left out.
    """
    known = [{level: row for level, row in levels.items() if cost in row} for levels in static]
    lines = []
    for name, rows in routed.items():
        dynamic = name.startswith(("joint", "finetune", "router", "measured"))
        if not dynamic or not all(cost in row for row in rows):
            continue
        cells = {"model": name, "utilization": f"{_mean(rows, 'utilization'):.3f}"}
        if cost == MS:
            cells["ms"] = f"{_mean(rows, MS):.3f}"
        for metric in columns(rows[0]):
            gains = [
                np.subtract(row[metric], on_line(levels, metric, float(np.mean(row[cost])), cost))
                for row, levels in zip(rows, known, strict=False)
                if len(levels) > 1
            ]
            cells[metric] = gain(gains, DIGITS[metric])
        if any(cells[metric] for metric in columns(rows[0])):
            lines.append(cells)
    return lines


def on_line(levels: Mapping[str, Row], metric: str, at: float, cost: str = MACS) -> np.ndarray:
    """Return scores of files at a cost, interpolated between the two nearest levels.

    A level that takes as long as a higher one is left out. Beyond the levels' costs the nearest one counts.

    Args:
        levels: Rows by level.
        metric: Column of scores.
        at: Cost to look at.
        cost: `MACS` or `MS`.
    """
    ordered = sorted(levels.values(), key=lambda row: row[MACS][0])
    costs = [float(row[cost][0]) for row in ordered]
    used = [n for n, each in enumerate(costs) if each < min(costs[n + 1 :], default=math.inf)]
    where, scores = [costs[n] for n in used], np.array([ordered[n][metric] for n in used], float)
    above = int(np.clip(np.searchsorted(where, at), 1, max(len(where) - 1, 1)))
    if above == len(where):  # one level is left
        return scores[0]
    share = np.clip((at - where[above - 1]) / (where[above] - where[above - 1]), 0, 1)
    return (1 - share) * scores[above - 1] + share * scores[above]


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
