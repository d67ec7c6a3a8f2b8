"""Compare evaluations: quality over compute and over time, of fixed levels, policies and the oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sese.core.errors import InputError
from sese.core.untrusted import MALFORMED, from_json
from sese.evaluation import front, pareto_report, summary
from sese.evaluation.conversations import LOWER_IS_BETTER
from sese.evaluation.front import COSTS, cost_of
from sese.evaluation.results import Comparison, Evaluation, FileRow, OraclePoint, Point
from sese.evaluation.scoring import NOISY, Budget
from sese.evaluation.suite import default_budgets

SHIFTS_DB = (-6, 0, 6)  # of the threshold policy


def pareto_budgets(card: Any) -> list[Budget]:
    """Return the budgets to try: levels, a threshold policy, and the router, free and held.

    A router is held between the levels. A model that rests is given the number itself.
    """
    budgets = default_budgets(card)
    levels = [level.utilization for level in card.levels] if card else []
    if len(levels) > 1 and not getattr(card, "alternatives", False):
        budgets += [f"threshold:{shift}" for shift in SHIFTS_DB]
        middles = [(low + high) / 2 for low, high in pairwise(levels)] if card.router else []
        budgets += middles if getattr(card, "rests", False) else [f"held:{share:g}" for share in middles]
    return budgets


def is_evaluation(path: str) -> bool:
    """Return whether a path is a report of `sese evaluate`: an evaluation.json, or its folder."""
    return Path(path).suffix == ".json" or (Path(path) / "evaluation.json").is_file()


def read_evaluation(path: str) -> Evaluation:
    """Read a report of `sese evaluate`, as `sese.evaluation.suite.evaluate` returned it.

    Raises:
        InputError: it is no such report.
    """
    file = Path(path) / "evaluation.json" if Path(path).is_dir() else Path(path)
    try:
        result = from_json(file.read_text(encoding="utf-8"))
        columns = list(result["levels"][0]["mean"])
        for row in result["files"]:
            row.update({column: _number(row[column]) for column in columns})
        for level in result["levels"]:
            for value in level["mean"].values():
                value.update({key: _number(value[key]) for key in ("mean", "low", "high")})
        names = [row["file"] for row in _rows(result, NOISY)]
        if any([row["file"] for row in _rows(result, level["level"])] != names for level in result["levels"]):
            raise ValueError
        pareto_report.to_markdown(compare([result]))  # what is missing is missed here
    except (OSError, *MALFORMED):
        raise InputError(
            f"{file}: no report of `sese evaluate`; make one with its option -o, or name a model"
        ) from None
    return result


def compare(results: Sequence[Evaluation]) -> Comparison:
    """Compare one or more evaluations of the same files: find the fronts over their levels.

    Args:
        results: results of `sese.evaluation.suite.evaluate` or `read_evaluation`.

    Returns:
        A point for each model and level, and the outcomes of the oracle; see `Comparison`.

    Raises:
        InputError: none given, other files or no metric in common.
    """
    if not results:
        raise InputError("pareto: nothing to compare; name models and a folder of pairs, or evaluations")
    names = _names([result["model"] for result in results])
    files = [row["file"] for row in _rows(results[0], NOISY)]
    for name, result in zip(names, results, strict=True):
        if [row["file"] for row in _rows(result, NOISY)] != files:
            raise InputError(
                f"pareto: {name} was evaluated on other files than {names[0]}; evaluate both on the same"
            )
    means = [result["levels"][0]["mean"] for result in results]
    columns = [
        column
        for column in means[0]
        if column not in LOWER_IS_BETTER and all(column in mean for mean in means)
    ]
    if not columns:
        raise InputError("pareto: the evaluations have no metric in common; evaluate them with the same")
    points: list[Point] = []
    scores: list[dict[str, np.ndarray]] = []
    for name, result in zip(names, results, strict=True):
        for level in result["levels"][1:]:
            points.append(
                {
                    "model": name,
                    "kind": "dynamic" if level["dynamic"] else "static",
                    "level": level["level"],
                    "budget": level["budget"],
                    "utilization": level["utilization"],
                    "macs_per_second": level["macs_per_second"],
                    "real_time_factor": level["real_time_factor"],
                    "mean": {column: level["mean"][column] for column in columns},
                    "front": {column: [] for column in columns},
                }
            )
            rows = _rows(result, level["level"])
            scores.append({column: np.array([row[column] for row in rows], np.float64) for column in columns})
    _mark_fronts(points, columns)
    _measure_gains(points, scores, columns)
    seconds = [row["audio_s"] for row in _rows(results[0], NOISY)]
    first = results[0]
    return {
        "models": names,
        "columns": columns,
        "file_count": first["file_count"],
        "audio_s": first["audio_s"],
        "interval": first["interval"],
        "metrics": first["metrics"],
        "jobs": [result["jobs"] for result in results],
        "noisy": {column: first["levels"][0]["mean"][column] for column in columns},
        "points": points,
        "oracle": _oracles(points, scores, columns, seconds),
    }


def _mark_fronts(points: list[Point], columns: list[str]) -> None:
    for cost in COSTS:
        costs = [_number(cost_of(point, cost)) for point in points]
        for column in columns:
            means = [point["mean"][column]["mean"] for point in points]
            for point, marked in zip(points, front.on_front(costs, means), strict=True):
                if marked:
                    point["front"][column].append(cost)


def _measure_gains(points: list[Point], scores: list[dict[str, np.ndarray]], columns: list[str]) -> None:
    """Measure the scores above the front of all static levels, at the same average MACs.

    Every file is compared with its own static scores at that average, so that the mean difference is the
    height above the line in the plot, and its interval that of paired files.
    """
    static = [i for i, point in enumerate(points) if point["kind"] == "static" and point["macs_per_second"]]
    static.sort(key=lambda i: _number(points[i]["macs_per_second"]))
    for column in columns:
        costs = np.array([_number(points[i]["macs_per_second"]) for i in static])
        best = front.on_front(costs, [points[i]["mean"][column]["mean"] for i in static])
        line = [i for i, marked in zip(static, best, strict=True) if marked]
        values = np.array([scores[i][column] for i in line])
        for point, score in zip(points, scores, strict=True):
            if point["kind"] != "dynamic":
                continue
            at_equal_macs = front.between(costs[best], values, _number(point["macs_per_second"]))
            gain = None if at_equal_macs is None else summary.bootstrap_mean(score[column] - at_equal_macs)
            point.setdefault("gain", {})[column] = gain


def _oracles(
    points: list[Point],
    scores: list[dict[str, np.ndarray]],
    columns: list[str],
    seconds: list[float],
) -> list[OraclePoint]:
    found: list[OraclePoint] = []
    for model in dict.fromkeys(point["model"] for point in points):
        for cost in COSTS:
            levels = [
                i
                for i, point in enumerate(points)
                if point["model"] == model and point["kind"] == "static" and cost_of(point, cost) is not None
            ]
            costs = sorted((_number(cost_of(points[i], cost)), i) for i in levels)
            levels = [i for _, i in costs]
            for column in columns:
                values = np.array([scores[i][column] for i in levels])
                outcomes = front.oracle([value for value, _ in costs], values, seconds) if levels else []
                found += [{"model": model, "column": column, "over": cost, **each} for each in outcomes]
    return found


def _rows(result: Evaluation, level: str) -> list[FileRow]:
    return [row for row in result["files"] if row["level"] == level]


def _names(models: list[str]) -> list[str]:
    """Return short names of models; the whole path where these are equal, numbered where that is too."""
    files = [Path(str(model).removesuffix("/model.onnx")) for model in models]
    short = [file.name.removesuffix(".onnx") for file in files]
    names = short if len(set(short)) == len(short) else list(models)
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        names[index] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
