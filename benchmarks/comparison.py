"""Compare all systems: quality against MACs and against measured milliseconds, beside networks of one size.

    sese sweep sweeps/comparison "data.train=[...]" "data.validation=[...]"
    python benchmarks/comparison.py runs/comparison noisy-set -o report

comparison.yaml in this folder lists the runs that belong together and the pairs of points that claims are
about. Each run is exported to one ONNX file and scored by the code of `sese evaluate`. Both are stored in the
output folder, so a second call, or one with more runs, computes only what is missing. All models are then
timed in turn, in rounds of one frame per call, so that a machine whose speed drifts slows all of them. Quote
ratios; milliseconds depend on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

import comparison_report
from comparison_report import COLUMNS
from exit_codes import exit_code
from model_times import exported, frame_ms
from sese.core.errors import InputError
from sese.evaluation import front, plots, report, summary, timing
from sese.evaluation import pairs as corpus
from sese.evaluation.scoring import ENHANCER, resolve
from sese.evaluation.suite import default_budgets, evaluate
from sese.runtime.artefact import open_artefact
from sese.training.sweep import DONE

PLAN = Path(__file__).with_suffix(".yaml")
METRICS = ("pesq", "estoi", "si_sdr")
KEYS = (*COLUMNS, "snr_db", "utilization")
SNRS = ((-math.inf, 2.5), (2.5, 12.5), (12.5, math.inf))  # ranges in dB, for what depends on it
THRESHOLD = "threshold:0"
HELD = "held:0.73"  # mean utilization that routers are held to: what DSN's authors gave theirs
FRAMES = 200  # timed at each budget in a round


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
        scores: Scores by column, one for each file, and the SNR in dB and the share of compute of each file.
        ms: Median time of a frame of 16 ms over the rounds, in milliseconds.
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
    scores: dict[str, np.ndarray]
    ms: float = math.nan
    saved: dict[str, float] = field(default_factory=dict)
    gains: dict[str, dict[str, dict[str, float] | None]] = field(default_factory=dict)

    def mean(self, column: str) -> float:
        """Return the mean score over the files."""
        return float(self.scores[column].mean())

    def by_snr(self, values: np.ndarray) -> list[float]:
        """Return means of the values of files, by range of SNR."""
        snr = self.scores["snr_db"]
        chosen = [values[(low <= snr) & (snr < high)] for low, high in SNRS]
        return [float(each.mean()) if len(each) else math.nan for each in chosen]


def main() -> int:
    """Run the command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder of the sweep's runs")
    parser.add_argument("data", type=Path, help="folder with clean/ and noisy/")
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="take this many files, spread over the folder")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score")
    parser.add_argument("--rounds", type=int, default=7, help="of timing; 0 leaves the times out")
    options = parser.parse_args()
    return exit_code("comparison", lambda: compare(options))


def compare(options: argparse.Namespace) -> None:
    """Export and score the missing models, time all, and write the table and the plot."""
    systems, claims = read_plan(PLAN)
    found = finished(options.runs)
    models = {  # the sweep validates once, so that a run's best weights are its last
        name: exported(found[name], options.out_dir / "models" / name)
        for system in systems
        for name in (*system.adaptive, *system.static)
        if name in found
    }
    if not models:
        raise InputError(f"{options.runs} holds no finished run that {PLAN.name} names; train them first")
    files = corpus.find_pairs(options.data, options.limit)
    scalable = {name for system in systems for name in system.adaptive}
    results = {}
    for name, path in models.items():
        budgets = budgets_of(open_artefact(str(path)).card, name in scalable)
        results[name] = scored(path, budgets, files, options.out_dir / "scores", options.jobs)
    points = points_of(systems, results)
    streams = streams_of(models, scalable) if options.rounds else {}
    times = []
    for number in range(options.rounds):
        print(f"timing, round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        times.append(timed(streams))
    finish(points, systems, times)
    write(points, differences(claims, points), next(iter(results.values())), options)


def read_plan(path: Path) -> tuple[list[System], list[Pair]]:
    """Read a YAML file with the systems and the pairs."""
    values = yaml.safe_load(path.read_text())
    systems = [
        System(name, tuple(entry.get("adaptive", ())), tuple(entry.get("static", ())))
        for name, entry in values["systems"].items()
    ]
    claims = [Pair(claim, *pair) for claim, pairs in values["claims"].items() for pair in pairs]
    return systems, claims


def finished(runs: Path) -> dict[str, Path]:
    """Return the folders of the finished runs by name, the first seed of each."""
    return {
        folder.parent.parent.name: folder.parent for folder in sorted(runs.glob(f"*/*/{DONE}"), reverse=True)
    }


def scored(
    model: Path, budgets: Sequence[Any], files: Sequence[corpus.Pair], folder: Path, jobs: int
) -> dict[str, Any]:
    """Return the results of `sese.evaluation.suite.evaluate`, from a file if they were computed before."""
    content = (model / "model.onnx").read_bytes()
    asked = json.dumps([budgets, [str(pair.noisy) for pair in files]]).encode()
    path = folder / f"{model.name}-{hashlib.sha256(content + asked).hexdigest()[:12]}.json"
    if path.exists():
        return json.loads(path.read_text())
    print(f"scoring {model.name}", file=sys.stderr, flush=True)
    result = evaluate(str(model), files, budgets, metrics=METRICS, jobs=jobs)
    folder.mkdir(parents=True, exist_ok=True)
    report.write_files(folder, path.stem, {"json": report.to_json(result)})
    return result


def budgets_of(card: Any, scalable: bool) -> list[Any]:
    """Return the budgets to score: every level, the router with and without a target average, and the SNR
    policy.

    A network of one size has only the budgets it was trained for.
    """
    if not scalable:
        return [f"fixed:{card.levels[-1].utilization:g}"]
    several = len(card.levels) > 1
    return default_budgets(card) + [HELD] * (several and card.router) + [THRESHOLD] * several


def points_of(systems: Sequence[System], results: Mapping[str, dict[str, Any]]) -> list[Point]:
    """Return a point for each model of each system and each budget it was scored at."""
    points = []
    for system in systems:
        for name in (*system.static, *system.adaptive):
            for level in results[name]["levels"][1:] if name in results else ():
                kind = "dynamic" if level["dynamic"] else "level"
                if name in system.static:
                    kind = "static"
                rows = [row for row in results[name]["files"] if row["level"] == level["level"]]
                scores = {key: np.array([row[key] for row in rows], np.float64) for key in KEYS}
                points.append(
                    Point(
                        system.name,
                        name,
                        str(level["budget"]).removeprefix("fixed:"),
                        kind,
                        level["macs_per_second"] / 1e6,
                        scores,
                    )
                )
    return points


def streams_of(models: Mapping[str, Path], scalable: Collection[str]) -> dict[tuple[str, str], Any]:
    """Open a stream of each model at each budget it is scored at, for all rounds."""
    found = {}
    for name, path in models.items():
        enhancer = resolve(ENHANCER)(str(path))
        for budget in budgets_of(enhancer.card, name in scalable):
            found[name, str(budget).removeprefix("fixed:")] = enhancer.card, enhancer.stream(budget=budget)
    return found


def timed(streams: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], float]:
    """Return milliseconds per frame of 16 ms by model and budget, for one round with the models in turn."""
    taken = {}
    for place, (card, stream) in streams.items():
        speech = timing.noisy_speech(card.sample_rate)
        taken[place] = float(np.median(frame_ms(card, stream, speech, FRAMES)))
    return taken


def finish(
    points: Sequence[Point], systems: Sequence[System], times: Sequence[Mapping[tuple[str, str], float]]
) -> None:
    """Fill in the times, the savings, and the gains over networks of one size."""
    for point in points:
        if times:
            point.ms = median(each[point.model, point.budget] for each in times)
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
    """Return mean gains over the front of other points at the same cost, paired by file."""
    found: dict[str, dict[str, float] | None] = {}
    for column in COLUMNS:
        found[column] = None
        ordered = sorted(others, key=lambda each: getattr(each, cost))
        costs = np.array([getattr(each, cost) for each in ordered])
        if len(ordered) and np.isfinite(costs).all():
            best = front.on_front(costs, [each.mean(column) for each in ordered])
            line = np.array([each.scores[column] for each in ordered])[best]
            at_cost = front.between(costs[best], line, getattr(point, cost))
            if at_cost is not None:
                found[column] = summary.bootstrap_mean(point.scores[column] - at_cost)
    return found


def differences(claims: Sequence[Pair], points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the difference of each pair, paired by file, without the pairs that were not measured."""
    found = []
    for claim in claims:
        of, against = (named(points, name) for name in (claim.of, claim.against))
        if of is None or against is None:
            continue
        above = {column: of.scores[column] - against.scores[column] for column in COLUMNS}
        found.append(
            {
                "claim": claim.claim,
                "of": claim.of,
                "against": claim.against,
                **{cost: [getattr(each, cost) for each in (of, against)] for cost in ("mmacs", "ms")},
                **{column: summary.bootstrap_mean(above[column]) for column in COLUMNS},
                "pesq_by_snr": of.by_snr(above["pesq_wb"]),
            }
        )
    return found


def named(points: Sequence[Point], name: str) -> Point | None:
    """Return the point `MODEL@LEVEL`, or None if it was not measured."""
    model, _, at = name.partition("@")
    mine = sorted((p for p in points if p.model == model), key=lambda p: (p.kind == "dynamic", p.mmacs))
    found = mine[int(at) : int(at) + 1] if at.isdigit() else [p for p in mine if p.budget == at]
    return found[0] if found else None


def write(
    points: Sequence[Point],
    claims: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    options: argparse.Namespace,
) -> None:
    """Write comparison.md, comparison.json and comparison.png."""
    noisy = {column: result["levels"][0]["mean"][column]["mean"] for column in COLUMNS}
    about = f"{result['file_count']} files; times are medians of {options.rounds} rounds."
    text = comparison_report.to_markdown(points, claims, noisy, about)
    plain = {
        "noisy": noisy,
        "files": result["file_count"],
        "machine": timing.machine_facts(),
        "claims": claims,
        "points": [
            {
                **{key: getattr(point, key) for key in ("system", "model", "budget", "kind", "mmacs", "ms")},
                "mean": {column: summary.bootstrap_mean(point.scores[column]) for column in COLUMNS},
                "utilization_by_snr": point.by_snr(point.scores["utilization"]),
                "saved": point.saved,
                "gains": point.gains,
            }
            for point in points
        ],
    }
    image = plots.to_png(comparison_report.draw(points, noisy), 130)
    contents = {"md": text, "json": report.to_json(plain), "png": image}
    for path in report.write_files(options.out_dir, "comparison", contents):
        print(f"wrote {path}", file=sys.stderr)
    print(text, end="")


if __name__ == "__main__":
    sys.exit(main())
