"""Compare all systems: quality against MACs and against measured milliseconds, beside networks of one size.

    sese sweep sweeps/comparison "data.train=[...]" "data.validation=[...]"
    python benchmarks/comparison.py runs/comparison noisy-set -o report
    python benchmarks/comparison.py -o report

The plan, comparison.yaml in this folder unless --plan names another, lists the runs that belong together and
the pairs of points that claims are about. Each finished run is exported to one ONNX file and scored by the
code of `sese evaluate`. Scores go into small files in the folder --scores: a second call, or one with more
runs, scores only what is missing, and a run that is scored is not needed any more. The last command makes
the report from these files alone.

All models are timed in turn, in rounds of one frame per call, so that a machine whose speed drifts slows all
of them. A call that times replaces the times of the call before it: while runs are still trained, use
--rounds 0. Quote ratios; milliseconds depend on the machine.

Where runs have several seeds, points are means over the seeds, and differences are those of each file's mean
over the seeds that both sides have. Their intervals are bootstrap intervals over the files.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import comparison_report
import comparison_scores
from claims_tables import BySeed, differences, over_files
from claims_verdicts import side
from comparison_report import COLUMNS, DIGITS
from comparison_scores import Rows, Scored
from exit_codes import exit_code
from sese.core.errors import InputError
from sese.evaluation import front, plots, report, summary
from sese.evaluation import pairs as corpus
from sese.evaluation.scoring import NOISY

PLAN = Path(__file__).with_suffix(".yaml")
SNRS = ((-math.inf, 2.5), (2.5, 12.5), (12.5, math.inf))  # ranges in dB, for what depends on it


@dataclass(frozen=True)
class System:
    """Runs that are compared with each other: scalable networks and networks of one size."""

    name: str
    adaptive: tuple[str, ...]
    static: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two points of a claim, each as `MODEL@LEVEL`, where the level is a number from 0 or a budget."""

    claim: str
    of: str
    against: str


@dataclass
class Point:
    """A model at a budget.

    Attributes:
        kind: ``static``, a network of one size; ``level``, a scalable network at a fixed level; ``dynamic``,
            a network that chooses a level for each frame.
        mmacs: Millions of MACs a second, the mean over the seeds.
        seeds: By seed and column, one value for each file: scores, SNR in dB, and share of compute.
        ms: Median time of a frame of 16 ms over the rounds, in milliseconds; the mean over the seeds.
        saved: Shares of the MACs and milliseconds of the highest level of the model that are saved.
        gains: By ``mmacs`` or ``ms`` and column, mean gain over the networks of one size of the same system
            at that cost, paired by file, with its interval; None where that cost is below the lowest of them.
            For a dynamic point also by ``levels``: gain over the fixed levels of the model at equal MACs,
            which is what the choice of levels is worth.
    """

    system: str
    model: str
    budget: str
    kind: str
    mmacs: float
    seeds: dict[str, Rows]
    ms: float = math.nan
    saved: dict[str, float] = field(default_factory=dict)
    gains: dict[str, dict[str, dict[str, float] | None]] = field(default_factory=dict)

    def files(self, column: str, seeds: Sequence[str] = ()) -> np.ndarray:
        """Return the mean of each file over seeds, by default over all of the point."""
        return np.mean([self.seeds[seed][column] for seed in seeds or self.seeds], axis=0)

    def mean(self, column: str) -> float:
        """Return the mean score over the seeds and files."""
        return float(self.files(column).mean())

    def by_snr(self, values: np.ndarray) -> list[float]:
        """Return means of the values of files, by range of SNR."""
        snr = self.files("snr_db")
        chosen = [values[(low <= snr) & (snr < high)] for low, high in SNRS]
        return [float(each.mean()) if len(each) else math.nan for each in chosen]


def main() -> int:
    """Run the command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="?", help="folder of the sweep's runs")
    parser.add_argument("data", type=Path, nargs="?", help="folder with clean/ and noisy/")
    parser.add_argument("-o", "--out-dir", type=Path, required=True, help="folder for the report")
    parser.add_argument("--plan", type=Path, default=PLAN, help=f"what is compared [default: {PLAN.name}]")
    parser.add_argument("--scores", type=Path, help="folder of the scores [default: scores in the report's]")
    parser.add_argument("--limit", type=int, help="take this many files, spread over the folder")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score [default: 1]")
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds of timing; 0 keeps the stored times [default: 7]"
    )
    options = parser.parse_args()
    return exit_code("comparison", lambda: compare(options))


def compare(options: argparse.Namespace) -> None:
    """Score and time the runs that are there, and write the tables and the plot from the stored scores."""
    if options.runs and not options.data:
        raise InputError("a folder of runs is named, but no test set; name both, or neither")
    if options.rounds < 0:
        raise InputError(f"--rounds is {options.rounds}; use 0 or more")
    systems, claims = read_plan(options.plan)
    scores = options.scores or options.out_dir / "scores"
    names = [name for system in systems for name in (*system.adaptive, *system.static)]
    if options.runs:
        found = comparison_scores.finished(options.runs)
        runs = {name: found[name] for name in dict.fromkeys(names) if name in found}
        if not runs:
            raise InputError(
                f"{options.runs} holds no finished run that {options.plan.name} names; train them first"
            )
        pairs = corpus.find_pairs(options.data, options.limit)
        scalable = [name for system in systems for name in system.adaptive]
        models = options.out_dir / "models"
        comparison_scores.score_runs(runs, scalable, pairs, scores, models, options.jobs, options.rounds)
    results = comparison_scores.read_all(scores, names)
    times = comparison_scores.read_times(scores, results)
    points = points_of(systems, results, times["ms"])
    finish(points, systems)
    noisy = next(iter(next(iter(results.values())).values())).rows[NOISY]
    write(points, differences_of(claims, points), noisy, times, options.out_dir)


def read_plan(path: Path) -> tuple[list[System], list[Pair]]:
    """Read a YAML file with the systems and the pairs."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a plan, such as {PLAN.name} in the folder benchmarks")
    values = yaml.safe_load(path.read_text())
    systems = [
        System(name, tuple(entry.get("adaptive", ())), tuple(entry.get("static", ())))
        for name, entry in values["systems"].items()
    ]
    claims = [Pair(claim, *pair) for claim, pairs in values["claims"].items() for pair in pairs]
    return systems, claims


def points_of(
    systems: Sequence[System],
    results: Mapping[str, Mapping[str, Scored]],
    ms: Mapping[str, Mapping[str, float]],
) -> list[Point]:
    """Return a point for each model of each system and each budget it was scored at.

    Args:
        systems: Systems.
        results: Scores by name and seed.
        ms: Times in milliseconds by run, as NAME/seed-N, and budget.
    """
    points = []
    for system in systems:
        for name in (*system.static, *system.adaptive):
            for level, budget, dynamic in levels_of(results.get(name, {})):
                seeds = {
                    seed: stored for seed, stored in results[name].items() if level in macs_by_level(stored)
                }
                macs = [macs_by_level(stored)[level] for stored in seeds.values()]
                timed = [ms[f"{name}/{seed}"] for seed in seeds if f"{name}/{seed}" in ms]
                taken = [each[budget] for each in timed if budget in each]
                points.append(
                    Point(
                        system.name,
                        name,
                        budget,
                        "static" if name in system.static else "dynamic" if dynamic else "level",
                        float(np.mean(macs)) / 1e6,
                        {seed: stored.rows[level] for seed, stored in seeds.items()},
                        float(np.mean(taken)) if taken else math.nan,
                    )
                )
    return points


def levels_of(seeds: Mapping[str, Scored]) -> list[tuple[str, str, bool]]:
    """Return the level, the name of the budget, and whether it is dynamic, of all that a seed has."""
    found = {
        each["level"]: (each["level"], comparison_scores.label(each["budget"]), each["dynamic"])
        for stored in seeds.values()
        for each in stored.about["levels"]
        if each["level"] != NOISY
    }
    return list(found.values())


def macs_by_level(stored: Scored) -> dict[str, float]:
    """Return the MACs a second by level."""
    return {each["level"]: each["macs_per_second"] for each in stored.about["levels"]}


def finish(points: Sequence[Point], systems: Sequence[System]) -> None:
    """Fill in the savings, and the gains over networks of one size."""
    for point in points:
        whole = max((p for p in points if p.model == point.model), key=lambda p: (p.kind == "level", p.mmacs))
        if point.kind != "static" and whole is not point:
            point.saved = {cost: 1 - getattr(point, cost) / getattr(whole, cost) for cost in ("mmacs", "ms")}
    for system in systems:
        mine = [point for point in points if point.system == system.name]
        statics = [point for point in mine if point.kind == "static"]
        for point in mine:
            if point.kind != "static":
                point.gains = {cost: gains(point, statics, cost) for cost in ("mmacs", "ms")}
            if point.kind == "dynamic":
                levels = [each for each in mine if (each.model, each.kind) == (point.model, "level")]
                point.gains["levels"] = gains(point, levels, "mmacs")


def gains(point: Point, others: Sequence[Point], cost: str) -> dict[str, dict[str, float] | None]:
    """Return mean gains over the front of other points at the same cost, paired by file.

    They are of the seeds that all of these points have.
    """
    seeds = [seed for seed in point.seeds if all(seed in each.seeds for each in others)]
    found: dict[str, dict[str, float] | None] = {}
    for column in COLUMNS:
        found[column] = None
        ordered = sorted(others, key=lambda each: getattr(each, cost))
        costs = np.array([getattr(each, cost) for each in ordered])
        if len(ordered) and seeds and np.isfinite(costs).all():
            scores = np.array([each.files(column, seeds) for each in ordered])
            best = front.on_front(costs, scores.mean(axis=1))
            at_cost = front.between(costs[best], scores[best], getattr(point, cost))
            if at_cost is not None:
                found[column] = summary.bootstrap_mean(point.files(column, seeds) - at_cost)
    return found


def differences_of(claims: Sequence[Pair], points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the difference of each pair, paired by file, without the pairs that were not measured.

    A difference is that of each file's mean over the seeds that both sides have. ``seeds`` has that of each
    seed by itself, ``verdicts`` one for each column, by the rule of `verdict`.
    """
    found = []
    for claim in claims:
        of, against = (named(points, name) for name in (claim.of, claim.against))
        if of is None or against is None:
            continue
        by_seed = {column: differences(of.seeds, against.seeds, column) for column in COLUMNS}
        seeds = list(by_seed[COLUMNS[0]])
        if not seeds:
            continue
        found.append(
            {
                "claim": claim.claim,
                "of": claim.of,
                "against": claim.against,
                **{cost: [getattr(each, cost) for each in (of, against)] for cost in ("mmacs", "ms")},
                **difference(of, by_seed, seeds),
                "seeds": {seed: difference(of, by_seed, [seed]) for seed in seeds},
                "verdicts": {column: verdict(each, column) for column, each in by_seed.items()},
            }
        )
    return found


def difference(of: Point, by_seed: Mapping[str, BySeed], seeds: Sequence[str]) -> dict[str, Any]:
    """Return the mean difference over seeds by column with its interval, and in PESQ by range of SNR."""
    pesq = np.mean([by_seed["pesq_wb"][seed] for seed in seeds], axis=0)
    means = {column: over_files(each, seeds) for column, each in by_seed.items()}
    return {**means, "pesq_by_snr": of.by_snr(pesq)}


def verdict(by_seed: BySeed, column: str) -> str:
    """Return whether a difference is decided.

    It is ``decided`` where there are two seeds or more, the interval of their mean excludes zero, and every
    seed is on the same side of zero; else it is ``open``.
    """
    return "decided" if len(by_seed) > 1 and side(by_seed, 0, DIGITS[column])[0] else "open"


def named(points: Sequence[Point], name: str) -> Point | None:
    """Return the point `MODEL@LEVEL`, or None if it was not measured."""
    model, _, at = name.partition("@")
    mine = sorted((p for p in points if p.model == model), key=lambda p: (p.kind == "dynamic", p.mmacs))
    found = mine[int(at) : int(at) + 1] if at.isdigit() else [p for p in mine if p.budget == at]
    return found[0] if found else None


def write(
    points: Sequence[Point],
    claims: Sequence[Mapping[str, Any]],
    noisy_files: Rows,
    times: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write comparison.md, comparison.json and comparison.png.

    Args:
        points: Points.
        claims: Differences of the pairs of the claims.
        noisy_files: Scores of the input.
        times: Result of `comparison_scores.read_times`.
        folder: Folder for the report.
    """
    noisy = {column: summary.bootstrap_mean(noisy_files[column])["mean"] for column in COLUMNS}
    count = len(noisy_files[COLUMNS[0]])
    about = f"{count} files; times are medians of {times['rounds']} rounds."
    text = comparison_report.to_markdown(points, claims, noisy, about)
    plain = {
        "noisy": noisy,
        "files": count,
        "machine": times["machine"],
        "claims": claims,
        "points": [
            {
                **{key: getattr(point, key) for key in ("system", "model", "budget", "kind", "mmacs", "ms")},
                "seeds": list(point.seeds),
                "mean": {column: summary.bootstrap_mean(point.files(column)) for column in COLUMNS},
                "utilization_by_snr": point.by_snr(point.files("utilization")),
                "saved": point.saved,
                "gains": point.gains,
            }
            for point in points
        ],
    }
    image = plots.to_png(comparison_report.draw(points, noisy), 130)
    contents: dict[str, str | bytes] = {"md": text, "json": report.to_json(plain), "png": image}
    for path in report.write_files(folder, "comparison", contents):
        print(f"wrote {path}", file=sys.stderr)
    print(text, end="")


if __name__ == "__main__":
    sys.exit(main())
