"""The result of an evaluation or a comparison in a few sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from sese.evaluation.conversations import LOWER_IS_BETTER
from sese.evaluation.headings import HEADINGS
from sese.evaluation.results import Comparison, Evaluation, LevelResult, Mean, Point

MAIN = ("pesq_wb", "predicted_pesq", "dnsmos_ovrl", "si_sdr")
"""Columns that a verdict is about, the first of them that is there."""

FEW = 30
"""Number of files below which a verdict says how few they are."""


def main_column(columns: Sequence[str]) -> str:
    """Return the column that a verdict is about."""
    rising = [column for column in columns if column not in LOWER_IS_BETTER]
    return next((column for column in MAIN if column in rising), (rising or list(columns))[0])


def of_evaluation(result: Evaluation) -> str:
    """Return how much the best level gains over the noisy input, and what the lowest level gains.

    The gain counts as measured where its 95% interval leaves out 0.
    """
    noisy, *levels = result["levels"]
    column = main_column(list(noisy["mean"]))
    name, decimals = HEADINGS[column]
    scored = [level for level in levels if math.isfinite(level["mean"][column]["mean"])]
    if not scored:
        return f"No level has a finite {name}."
    best = max(scored, key=lambda level: level["mean"][column]["mean"])
    gain = best["improvement"][column]
    before, after = (f"{level['mean'][column]['mean']:.{decimals}f}" for level in (noisy, best))
    if gain["low"] > 0:
        said = f"{_share(best)} {name} rises from {before} to {after} ({_gain(gain, decimals)})"
    elif gain["high"] < 0:
        least_harm = f"least {_share(best, False)}, from {before} to {after}"
        said = f"Every level lowers {name}; {least_harm} ({_gain(gain, decimals)})"
    else:
        said = (
            f"{name} does not change measurably: {before} before, {after} at best ({_gain(gain, decimals)})"
        )
    least = min(scored, key=lambda level: (level["utilization"] is None, level["utilization"] or 0.0))
    if gain["low"] > 0 and least is not best and least["utilization"] is not None:
        low = least["improvement"][column]
        said += f"; {_share(least, False)} the gain is {low['mean']:+.{decimals}f}"
    return f"{said}. {_few(result['file_count'])}".strip()


def of_comparison(comparison: Comparison) -> str:
    """Return which models nothing beats for less compute, and whether policies gain over fixed levels."""
    column = main_column(comparison["columns"])
    name, decimals = HEADINGS[column]
    sentences = [_front(comparison["points"], column, name, decimals)]
    gains = [
        (value["mean"], point, value)
        for point in comparison["points"]
        if (value := point.get("gain", {}).get(column)) is not None and math.isfinite(value["mean"])
    ]
    if gains:
        _, point, value = max(gains, key=lambda each: each[0])
        gained = "gains" if value["low"] > 0 else "does not gain measurably"
        sentences.append(
            f"Deciding frame by frame {gained} over fixed levels of the same compute: at best "
            f"{_gain(value, decimals)}, {point['model']} at {point['level']}."
        )
    return " ".join([*sentences, _few(comparison["file_count"])]).strip()


def _front(points: Sequence[Point], column: str, name: str, decimals: int) -> str:
    known = [point for point in points if "macs" in point["front"][column] and point["macs_per_second"]]
    if not known:
        return f"The compute of the models is not known, so nothing is on a front of {name}."
    known.sort(key=cost)
    runs = []
    for model, group in groupby(known, key=lambda point: point["model"]):
        costs = [cost(point) for point in group]
        span = f"{costs[0]:.1f}" if len(costs) == 1 else f"{costs[0]:.1f} to {costs[-1]:.1f}"
        runs.append(f"{model} at {span} MMAC/s")
    top = known[-1]
    best = f"{top['mean'][column]['mean']:.{decimals}f}"
    highest = f"{top['model']} reaches the highest {name}: {best}, at {cost(top):.1f} MMAC/s."
    if len(known) == 1:
        return f"{highest} Nothing cheaper is on the front."
    return f"{highest} The front over compute: {', then '.join(runs)}."


def cost(point: Point) -> float:
    """Return the compute of a point in million MACs a second."""
    return (point["macs_per_second"] or 0.0) / 1e6


def _share(level: LevelResult, starts: bool = True) -> str:
    used = level["utilization"]
    words = f"at {level['level']}"
    if used is not None:
        percent = f"{used:.0%}" if used >= 0.01 else f"{used:.1%}"
        words = f"with {percent} of the compute ({level['level']})"
    return words[0].upper() + words[1:] if starts else words


def _gain(value: Mean, decimals: int) -> str:
    mean, low, high = (f"{value[key]:+.{decimals}f}" for key in ("mean", "low", "high"))
    return f"{mean}, 95% interval {low} to {high}"


def _few(files: int) -> str:
    if files >= FEW:
        return ""
    return f"{files} {'file is' if files == 1 else 'files are'} too few to tell small differences."
