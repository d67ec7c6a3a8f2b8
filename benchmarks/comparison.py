"""All systems side by side: quality against MACs and against measured milliseconds, with their statics.

    sese sweep configs/sweeps/comparison.yaml "data.train=[...]" "data.validation=[...]"
    python benchmarks/comparison.py runs/comparison noisy-set -o report

comparison.yaml beside this file says which runs belong together. Each run is exported to one ONNX file and
scored by the code of `sese evaluate`; both are kept in the output folder, so that a second call, or one with
more runs, does only what is new. Then all are timed in rounds, one frame a call, each model in turn, so that
a machine whose speed drifts slows all of them. Quote ratios; milliseconds are of the machine at hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from sese.errors import InputError
from sese.evaluation import front, plots, report, summary, timing
from sese.evaluation.pairs import Pair, find_pairs
from sese.evaluation.scoring import ENHANCER, resolve
from sese.evaluation.suite import default_budgets, evaluate
from sese.runtime.artefact import open_artefact
from sese.training.sweep import DONE

SYSTEMS = Path(__file__).with_suffix(".yaml")
METRICS = ("pesq", "estoi", "si_sdr")
COLUMNS = ("pesq_wb", "estoi", "si_sdr")
DRAWN = ("pesq_wb", "si_sdr")
FRAMES = 200  # timed at each budget in a round
FRAME_MS = 16  # that times of a frame are given for
BUDGETS = {"mmacs": (10, 20, 40, 80, 160, 320), "ms": (0.1, 0.15, 0.2, 0.3, 0.4, 0.6)}


@dataclass(frozen=True)
class System:
    """Runs that are compared with each other: scalable ones, and of one size each."""

    name: str
    adaptive: tuple[str, ...]
    static: tuple[str, ...] = ()


@dataclass
class Point:
    """A model at a budget.

    Attributes:
        kind: ``static``, a network of one size; ``level``, a scalable one at a fixed level; ``dynamic``, one
            whose frames differ.
        scores: by column, one for each file.
        ms: for a frame of 16 ms, median of the rounds.
        saved: shares of the MACs and of the milliseconds of the same model's highest level that are saved.
        gains: by ``mmacs`` or ``ms`` and column, mean above the system's own statics at that cost, paired by
            file, with its interval; None below the cheapest of them.
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
        """Mean score over the files."""
        return float(self.scores[column].mean())


def main() -> int:
    """Exit codes: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder of the sweep's runs")
    parser.add_argument("data", type=Path, help="folder with clean/ and noisy/")
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="take this many files, spread over the folder")
    parser.add_argument("--jobs", type=int, default=1, help="processes that score")
    parser.add_argument("--rounds", type=int, default=7, help="of timing; 0 leaves the times out")
    options = parser.parse_args()
    try:
        compare(options)
    except InputError as error:
        print(f"comparison: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def compare(options: argparse.Namespace) -> None:
    """Export and score what is new, time all, and write the table and the plot."""
    systems = read_systems(SYSTEMS)
    found = finished(options.runs)
    models = {
        name: exported(found[name], options.out_dir / "models" / name)
        for system in systems
        for name in (*system.adaptive, *system.static)
        if name in found
    }
    if not models:
        raise InputError(f"{options.runs} holds no finished run that {SYSTEMS.name} names; train them first")
    pairs = find_pairs(options.data, options.limit)
    results = {
        name: scored(path, pairs, options.out_dir / "scores", options.jobs) for name, path in models.items()
    }
    points = points_of(systems, results)
    times = [timed(models, number, options.rounds) for number in range(options.rounds)]
    finish(points, systems, times)
    write(points, results, pairs, options)


def read_systems(path: Path) -> list[System]:
    """What belongs together, from a YAML file."""
    values = yaml.safe_load(path.read_text())
    return [
        System(name, tuple(entry.get("adaptive", ())), tuple(entry.get("static", ())))
        for name, entry in values.items()
    ]


def finished(runs: Path) -> dict[str, Path]:
    """Folders of the finished runs by name, the first seed of each."""
    return {
        folder.parent.parent.name: folder.parent for folder in sorted(runs.glob(f"*/*/{DONE}"), reverse=True)
    }


def exported(run: Path, output: Path) -> Path:
    """The run's last weights as a model folder: none of them chose its weights by the clips that score it."""
    from sese.export.folder import export_folder

    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        export_folder(run / "last", output)
    return output


def scored(model: Path, pairs: Sequence[Pair], folder: Path, jobs: int) -> dict[str, Any]:
    """What `sese.evaluation.suite.evaluate` says of a model, kept in a file by what was asked."""
    content = (model / "model.onnx").read_bytes()
    asked = json.dumps([str(pair.noisy) for pair in pairs]).encode()
    path = folder / f"{model.name}-{hashlib.sha256(content + asked).hexdigest()[:12]}.json"
    if path.exists():
        return json.loads(path.read_text())
    print(f"scoring {model.name}", file=sys.stderr, flush=True)
    result = evaluate(str(model), pairs, metrics=METRICS, jobs=jobs)
    folder.mkdir(parents=True, exist_ok=True)
    report.write_files(folder, path.stem, {"json": report.to_json(result)})
    return result


def points_of(systems: Sequence[System], results: Mapping[str, dict[str, Any]]) -> list[Point]:
    """A point for each model of each system and each budget it was scored at."""
    points = []
    for system in systems:
        for name in (*system.static, *system.adaptive):
            for level in results[name]["levels"][1:] if name in results else ():
                kind = "dynamic" if summary.is_dynamic(results[name], level) else "level"
                if name in system.static:
                    kind = "static"
                rows = [row for row in results[name]["files"] if row["level"] == level["level"]]
                scores = {column: np.array([row[column] for row in rows]) for column in COLUMNS}
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


def timed(models: Mapping[str, Path], number: int, rounds: int) -> dict[tuple[str, str], float]:
    """Milliseconds for a frame of 16 ms by model and budget: of one round, the models in turn."""
    print(f"timing, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    taken = {}
    for name, path in models.items():
        card = open_artefact(str(path)).card
        enhancer = resolve(ENHANCER)(str(path))
        speech = timing.noisy_speech(card.sample_rate)
        for budget in default_budgets(card):
            stream = enhancer.stream(budget=budget)
            seconds = np.median(timing.time_frames([stream], speech, card.hop_length, FRAMES))
            frame_ms = 1000 * card.hop_length / card.sample_rate
            taken[name, str(budget).removeprefix("fixed:")] = float(1000 * seconds * FRAME_MS / frame_ms)
    return taken


def finish(
    points: Sequence[Point], systems: Sequence[System], times: Sequence[Mapping[tuple[str, str], float]]
) -> None:
    """Fill in the times, what is saved, and the gains over the statics."""
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


def gains(point: Point, statics: Sequence[Point], cost: str) -> dict[str, dict[str, float] | None]:
    """Mean scores above the front of the statics at the same cost, paired by file."""
    found: dict[str, dict[str, float] | None] = {}
    for column in COLUMNS:
        found[column] = None
        ordered = sorted(statics, key=lambda each: getattr(each, cost))
        costs = np.array([getattr(each, cost) for each in ordered])
        if len(ordered) and np.isfinite(costs).all():
            best = front.on_front(costs, [each.mean(column) for each in ordered])
            line = np.array([each.scores[column] for each in ordered])[best]
            at_cost = front.between(costs[best], line, getattr(point, cost))
            if at_cost is not None:
                found[column] = summary.bootstrap_mean(point.scores[column] - at_cost)
    return found


# What is written


def write(
    points: Sequence[Point],
    results: Mapping[str, dict[str, Any]],
    pairs: Sequence[Pair],
    options: argparse.Namespace,
) -> None:
    """comparison.md, .json and .png."""
    first = next(iter(results.values()))
    noisy = {column: first["levels"][0]["mean"][column] for column in COLUMNS}
    text = to_markdown(points, noisy, len(pairs), options.rounds)
    plain = {
        "noisy": noisy,
        "files": len(pairs),
        "machine": timing.machine_facts(),
        "points": [
            {
                **{key: getattr(point, key) for key in ("system", "model", "budget", "kind", "mmacs", "ms")},
                "mean": {column: summary.bootstrap_mean(point.scores[column]) for column in COLUMNS},
                "saved": point.saved,
                "gains": point.gains,
            }
            for point in points
        ],
    }
    image = plots.to_png(draw(points, {column: noisy[column]["mean"] for column in DRAWN}), 130)
    contents = {"md": text, "json": report.to_json(plain), "png": image}
    for path in report.write_files(options.out_dir, "comparison", contents):
        print(f"wrote {path}", file=sys.stderr)
    print(text, end="")


def draw(points: Sequence[Point], noisy: Mapping[str, float]) -> Any:
    """Quality over compute and over time: a color for each system, a line through a model's levels."""
    from matplotlib.figure import Figure

    axes = [cost for cost in ("mmacs", "ms") if all(math.isfinite(getattr(point, cost)) for point in points)]
    sheet = Figure(figsize=(11, 3.6 * len(axes) + 0.8), layout="constrained")
    grid = sheet.subplots(len(axes), len(DRAWN), squeeze=False)
    names = list(dict.fromkeys(point.system for point in points))
    for cost, row in zip(axes, grid, strict=True):
        for column, panel in zip(DRAWN, row, strict=True):
            panel.axhline(noisy[column], color="#999", linestyle=":", label="noisy input")
            for number, name in enumerate(names):
                draw_system(
                    panel, [p for p in points if p.system == name], cost, column, f"C{number % 10}", name
                )
            panel.set(ylabel=report.HEADINGS[column][0], xscale="log")
            panel.set_xlabel({"mmacs": "MMAC/s", "ms": f"ms for {FRAME_MS} ms, one frame a call"}[cost])
    handles, labels = grid[0][0].get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return sheet


def draw_system(panel: Any, points: Sequence[Point], cost: str, column: str, color: str, name: str) -> None:
    """Circles and lines: levels; stars: frames that differ; crosses: networks of one size."""
    styles = {"level": ("o-", 5, ""), "dynamic": ("*", 10, ", dynamic"), "static": ("x", 6, ", one size")}
    labelled: set[str] = set()
    for model in dict.fromkeys(point.model for point in points):
        for kind, (style, size, suffix) in styles.items():
            mine = [point for point in points if (point.model, point.kind) == (model, kind)]
            mine.sort(key=lambda point: point.mmacs)
            if mine:
                values = [getattr(p, cost) for p in mine], [p.mean(column) for p in mine]
                about = None if kind in labelled else name + suffix
                panel.plot(*values, style, color=color, markersize=size, linewidth=1, label=about)
                labelled.add(kind)


def to_markdown(points: Sequence[Point], noisy: Mapping[str, Any], files: int, rounds: int) -> str:
    """The table of all points, and who is best at which budget."""
    header = ["system", "model", "at", "MMAC/s", "ms", "saved: MACs", "ms", "PESQ", "ESTOI", "SI-SDR, dB"]
    header += ["PESQ over its statics at equal MACs", "at equal ms"]
    cells = [["noisy input", *[""] * 6, *(f"{noisy[c]['mean']:.{digits(c)}f}" for c in COLUMNS), "", ""]]
    for point in sorted(points, key=lambda p: (p.system, p.kind == "static", p.model, p.mmacs)):
        cells.append(
            [
                point.system,
                point.model,
                "static" if point.kind == "static" else point.budget,
                f"{point.mmacs:.1f}",
                number(point.ms, 3),
                *(number(100 * point.saved.get(cost, math.nan), 0, "%") for cost in ("mmacs", "ms")),
                *(f"{point.mean(column):.{digits(column)}f}" for column in COLUMNS),
                *(gain(point.gains.get(cost, {}).get("pesq_wb")) for cost in ("mmacs", "ms")),
            ]
        )
    lines = [*report.table(header, cells), ""]
    for cost, unit in (("mmacs", "MMAC/s"), ("ms", "ms a frame")):
        lines += [*best_lines(points, cost, unit), ""]
    lines.append(
        f"{files} files. ms: for {FRAME_MS} ms of audio, one frame a call, one thread, median of {rounds}"
        " rounds. Saved: of the same model's highest level. Over its statics: mean difference to the line"
        " through the networks of one size of the same system, paired by file, with its 95% interval."
    )
    return "\n".join(lines) + "\n"


def best_lines(points: Sequence[Point], cost: str, unit: str) -> list[str]:
    """For each budget the best point that keeps to it, by PESQ and by SI-SDR."""
    rows = []
    for budget in BUDGETS[cost]:
        within = [point for point in points if getattr(point, cost) <= budget]
        if within:
            cells = [f"{budget:g}"]
            for column in ("pesq_wb", "si_sdr"):
                best = max(within, key=lambda point: point.mean(column))
                cells.append(f"{best.model} at {best.budget}: {best.mean(column):.{digits(column)}f}")
            rows.append(cells)
    return report.table([f"up to, {unit}", "best PESQ", "best SI-SDR, dB"], rows)


def digits(column: str) -> int:
    """Decimals; of PESQ one more than elsewhere, since differences are small."""
    return {"pesq_wb": 3, "estoi": 3, "si_sdr": 2}[column]


def number(value: float, decimals: int, unit: str = "") -> str:
    """The number, or nothing where there is none."""
    return f"{value:.{decimals}f}{unit}" if math.isfinite(value) else ""


def gain(value: Mapping[str, float] | None) -> str:
    """A difference with its interval."""
    return "" if value is None else f"{value['mean']:+.3f} ({value['low']:+.3f} to {value['high']:+.3f})"


if __name__ == "__main__":
    sys.exit(main())
