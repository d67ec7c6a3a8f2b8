"""Tables of claims.py: models, and what each claim compares, from scores of files."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from sese.core import tables
from sese.core.tables import with_interval
from sese.evaluation.summary import bootstrap_mean

DIGITS = {"pesq_wb": 3, "stoi": 4, "estoi": 4, "si_sdr": 2, "dnsmos_p808": 3}
"""Number of decimals of each column of scores."""

BACKBONE, ALONE = "backbone", "static-"
"""Name of the run that trains all levels, and beginning of the names of runs that train one."""

PAPER_SIZE = "paper-size"
"""Name of the run that trains all levels of a network of the paper's size; the others are smaller."""

METRICS = ("pesq", "estoi", "si_sdr")
"""Metrics unless others are named."""

ROUTER, NOISY = "router", "noisy"
"""Names in the place of a level: of the scores under a router, and of those of the input."""

INPUT, USED, SHARES, CHANGES = "input_si_sdr", "utilization", "shares", "changes"
"""Columns: SI-SDR of the input in dB; mean utilization; share of frames by level, a list for each file; and
of joint training the change of utilization in a second half with the same, and with less noise, a list for
each file (`claims_drop`)."""

MACS, TIME, LEVEL_TIMES = "macs_per_second", "time", "level_times"
"""Columns of costs: MACs a second of each file; time of a frame, one value, if measured, as a share of that
of the highest level in the same rounds; and for a router these shares of all levels."""

Row = dict[str, Any]
"""Scores of one model at one level or under its router: columns over files."""

Runs = Mapping[str, Mapping[str, Mapping[str, Row]]]
"""Rows by level or ``router``, by seed, by name of the run."""

BySeed = Mapping[str, np.ndarray]
"""Differences of the files (file,) by seed."""


def columns(row: Collection[str]) -> list[str]:
    """Return the columns of scores that a row has."""
    return [name for name in DIGITS if name in row]


def compare(runs: Runs, noisy: Row, names: Collection[str] = ()) -> dict[str, list[dict[str, str]]]:
    """Return all tables by name.

    Args:
        runs: Rows of the runs.
        noisy: Scores of the input.
        names: Names of all runs of the sweep; by default of those that are there.
    """
    backbone, alone = runs.get(BACKBONE, {}), levels_alone(runs, names)
    routed = routers(runs)
    quarter = level_rows(runs.get("static-0.25", {}), "1")
    lowest = routed.get("joint-0.1", {})
    models = models_by_name(runs)
    unprocessed = {"model": NOISY} | {
        name: f"{np.nanmean(noisy[name]):.{DIGITS[name]}f}" for name in columns(noisy)
    }
    return {
        "All models": [unprocessed, *({"model": name, **summary(rows)} for name, rows in models.items())],
        "All models, each seed": [line for name, rows in models.items() for line in seeds_apart(name, rows)],
        "a, against the slimmable model's levels": above(routed, backbone),
        "a, against the slimmable model's levels, at equal time": above(routed, backbone, TIME),
        "a, against levels trained alone": above(routed, alone),
        "a, against levels trained alone, at equal time": above(routed, alone, TIME),
        "b": cheaper(lowest, level_rows(backbone, "1")),
        "b, against a level trained alone": cheaper(lowest, quarter),
        "c, over files": [
            {"model": name, **correlation(rows)} for name, rows in routed.items() if "joint" in name
        ],
    }


def routers(runs: Runs) -> dict[str, dict[str, Row]]:
    """Return the row of each seed of the runs that have a router, by name."""
    found = {name: level_rows(seeds, ROUTER) for name, seeds in runs.items()}
    return {name: rows for name, rows in found.items() if rows}


def level_rows(seeds: Mapping[str, Mapping[str, Row]], level: str) -> dict[str, Row]:
    """Return the rows of a level by seed, of the seeds that have it."""
    return {seed: rows[level] for seed, rows in seeds.items() if level in rows}


def levels_alone(runs: Runs, names: Collection[str] = ()) -> dict[str, dict[str, Row]]:
    """Return the rows by level of runs that train one level, of each seed for which all of these are there.

    Args:
        runs: Rows.
        names: Names of these runs; by default all that are there.
    """
    statics = [runs.get(name, {}) for name in sorted(names or runs) if name.startswith(ALONE)]
    seeds = [seed for seed in (statics[0] if statics else ()) if all(seed in each for each in statics)]
    return {seed: {level: row for each in statics for level, row in each[seed].items()} for seed in seeds}


def models_by_name(runs: Runs) -> dict[str, dict[str, Row]]:
    """Return rows by seed: those of fixed levels, as ``backbone 0``, before those of routers."""
    routed = routers(runs)
    levels = {
        f"{name} {level}": level_rows(seeds, level)
        for name, seeds in runs.items()
        if name not in routed
        for level in next(iter(seeds.values()))
    }
    return levels | routed


def summary(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return a line of means over seeds and files."""
    each = list(rows.values())
    cells = {"seeds": str(len(each)), "utilization": f"{_mean(each, USED):.3f}"}
    cells["MMAC/s"] = f"{_mean(each, MACS) / 1e6:.2f}"
    if all(TIME in row for row in each):
        cells["time"] = f"{_mean(each, TIME):.3f}"
    cells |= {name: f"{_mean(each, name):.{DIGITS[name]}f}" for name in columns(each[0])}
    cells["shares"] = "/".join(
        f"{share:.2f}".lstrip("0") or "0" for share in np.mean([row[SHARES] for row in each], axis=(0, 1))
    )
    return cells


def seeds_apart(name: str, rows: Mapping[str, Row]) -> list[dict[str, str]]:
    """Return a line of means over files with their intervals for each seed; none for a single seed."""
    if len(rows) < 2:
        return []
    scores = columns(next(iter(rows.values())))
    return [
        {"model": name, "seed": seed, "utilization": f"{_mean([row], USED):.3f}"}
        | {each: with_interval(bootstrap_mean(row[each]), DIGITS[each]) for each in scores}
        for seed, row in rows.items()
    ]


def above(
    routed: Mapping[str, Mapping[str, Row]], static: Mapping[str, Mapping[str, Row]], cost: str = MACS
) -> list[dict[str, str]]:
    """Return a table of gains of dynamic models over static levels at equal mean cost, paired by file.

    Models whose cost is missing are left out.
    """
    lines = []
    for name, seeds in routed.items():
        if not name.startswith(("joint", "finetune", "router", "measured")):
            continue
        rows = {
            seed: row
            for seed, row in seeds.items()
            if cost in row and len(lines_of(static, seed, row, cost)) > 1
        }
        scores = columns(next(iter(rows.values()))) if rows else []
        gains = {metric: gains_above(rows, static, metric, cost) for metric in scores}

        def costs(seeds: Sequence[str], rows: Mapping[str, Row] = rows) -> dict[str, str]:
            names = (USED, TIME) if cost == TIME else (USED,)
            return {each: f"{_mean([rows[seed] for seed in seeds], each):.3f}" for each in names}

        lines += [{"model": name, **cells} for cells in spread(gains, DIGITS, costs)]
    return lines


def gains_above(
    routed: Mapping[str, Row], static: Mapping[str, Mapping[str, Row]], metric: str, cost: str = MACS
) -> dict[str, np.ndarray]:
    """Return the gains of files by seed over the line through the static levels of the same seed."""
    return {
        seed: np.subtract(
            row[metric], on_line(lines_of(static, seed, row, cost), metric, float(np.mean(row[cost])), cost)
        )
        for seed, row in routed.items()
        if seed in static
    }


def lines_of(
    static: Mapping[str, Mapping[str, Row]], seed: str, routed: Row, cost: str = MACS
) -> dict[str, Row]:
    """Return the static levels of a seed; at equal time with the times of the router's rounds."""
    levels = static.get(seed, {})
    if cost != TIME:
        return dict(levels)
    times = routed.get(LEVEL_TIMES, {})
    return {level: {**row, TIME: [times[level]]} for level, row in levels.items() if level in times}


def on_line(levels: Mapping[str, Row], metric: str, at: float, cost: str = MACS) -> np.ndarray:
    """Return scores of files at a cost, interpolated between the two nearest levels.

    A level that takes as long as a higher one is left out. Beyond the levels' costs the nearest one counts.

    Args:
        levels: Rows by level.
        metric: Column of scores.
        at: Cost to look at.
        cost: `MACS` or `TIME`.
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


def cheaper(dynamic: Mapping[str, Row], static: Mapping[str, Row]) -> list[dict[str, str]]:
    """Return a table of the quality and savings of the dynamic model against a static level."""
    both = [seed for seed in dynamic if seed in static]
    if not both:
        return []
    scores = columns(dynamic[both[0]])
    gains = {f"{name}, gain": differences(dynamic, static, name) for name in scores}

    def saved(seeds: Sequence[str]) -> dict[str, str]:
        shares = {
            name: [1 - np.mean(dynamic[seed][key]) / np.mean(static[seed][key]) for seed in seeds]
            for name, key in (("slimmable MACs saved", USED), ("all MACs saved", MACS))
        }
        return {name: f"{100 * np.mean(each):.0f}%" for name, each in shares.items()}

    return spread(gains, {f"{name}, gain": DIGITS[name] for name in scores}, saved)


def differences(one: Mapping[str, Row], other: Mapping[str, Row], column: str) -> dict[str, np.ndarray]:
    """Return the differences of files by seed, of the seeds that both have."""
    return {
        seed: np.subtract(one[seed][column], other[seed][column]).astype(float)
        for seed in one
        if seed in other
    }


def correlation(rows: Mapping[str, Row]) -> dict[str, str]:
    """Return the correlation over files of the SI-SDR of the input with the utilization, for each seed."""
    cells = {}
    for name, function in (("Pearson", stats.pearsonr), ("Spearman", stats.spearmanr)):
        values = [function(row[INPUT], row[USED]) for row in rows.values()]
        cells[name] = ", ".join(f"{value.statistic:.2f}" for value in values)
        cells[f"p, {name}"] = ", ".join(f"{value.pvalue:.1g}" for value in values)
    spans = [np.percentile(row[USED], (5, 95)) for row in rows.values()]
    cells["5% to 95% of files"] = ", ".join(f"{low:.2f} to {high:.2f}" for low, high in spans)
    return cells


def spread(
    gains: Mapping[str, BySeed],
    digits: Mapping[str, int],
    more: Callable[[Sequence[str]], dict[str, str]] = lambda seeds: {},
) -> list[dict[str, str]]:
    """Return lines of means with 95% intervals: over the seeds, and of each seed where there are several.

    Intervals are bootstrap intervals over the files; over seeds, of each file's mean over the seeds. With
    three or more seeds a line has Student's interval over the means of the seeds.

    Args:
        gains: Differences by column.
        digits: Number of decimals by column.
        more: Function from the seeds of a line to further cells, which come first.
    """
    seeds = list(next(iter(gains.values()), {}))
    groups = {f"mean of {len(seeds)}": seeds} if len(seeds) > 1 else {}
    groups |= {seed: [seed] for seed in seeds}
    lines = [
        {"seed": name, **more(group)}
        | {key: with_interval(over_files(each, group), digits[key], sign=True) for key, each in gains.items()}
        for name, group in groups.items()
    ]
    if len(seeds) > 2:
        cells = {key: with_interval(students(each), digits[key], sign=True) for key, each in gains.items()}
        lines.append({"seed": f"mean of {len(seeds)}, Student's t", **more(seeds), **cells})
    return lines


def over_files(by_seed: BySeed, seeds: Sequence[str] = ()) -> Mapping[str, float]:
    """Return the mean of each file's mean over the seeds (default: all), with its interval over the files."""
    return bootstrap_mean(np.mean([by_seed[seed] for seed in seeds or by_seed], axis=0))


def students(by_seed: BySeed) -> dict[str, float]:
    """Return the mean over seeds with Student's 95% interval."""
    means = [float(np.nanmean(values)) for values in by_seed.values()]
    mean = float(np.mean(means))
    half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _mean(rows: Sequence[Row], key: str) -> float:
    """Return the mean over seeds and files of a column."""
    return float(np.mean([np.nanmean(row[key]) for row in rows]))


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return a Markdown table with the columns of all rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return "\n".join(tables.table(names, ([row.get(name, "") for name in names] for row in rows)))
