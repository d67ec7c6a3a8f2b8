"""Figures of claims.py: fronts, utilization over files, and utilization within a clip."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from claims_drop import DROP_DB, Drop
from claims_tables import (
    BACKBONE,
    INPUT,
    MACS,
    PAPER_SIZE,
    TIME,
    USED,
    Row,
    Runs,
    level_rows,
    levels_alone,
    routers,
)
from sese.evaluation import plots
from sese.evaluation.headings import HEADINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = ("pesq_wb", "stoi", "si_sdr", "dnsmos_p808")
"""Columns of scores that have a panel."""

COSTS = {MACS: ("MMAC/s", 1e-6), TIME: ("time of a frame (highest level: 1)", 1.0)}
"""Column of a cost -> label of its axis, and unit."""

BRACKETS = (2.5, 7.5, 12.5)
"""Limits between ranges of the input's SI-SDR in dB."""

SMOOTH_S = 0.25
"""Length of the moving average over time in seconds."""

ACROSS = 3
"""Number of targets in a row."""

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "joint-": ("joint training", {"color": "#c8391f", "marker": "*", "markersize": 8, "linestyle": "-"}),
    "router": ("router on the frozen backbone", {"color": "#2a7f4f", "marker": "^", "markersize": 5}),
    "finetune": ("router, then all fine-tuned", {"color": "#8350b5", "marker": "s", "markersize": 4}),
    "measured": ("router from measured errors", {"color": "#b8860b", "marker": "D", "markersize": 4}),
}
"""Beginning of a run's name -> its name in the legend, and its mark."""

NOISES = (
    ("same noise in the second half", "#7c7c7c", "--"),
    (f"noise {DROP_DB:g} dB lower in the second half", "#c8391f", "-"),
)
"""Name, colour and line of each course of `Drop`."""

Point = Sequence[Row]
"""Rows of the seeds of a model at one level or under its router."""

Series = tuple[str, Mapping[str, Any], list[Point]]
"""Name, style and points."""


def draw(runs: Runs, drops: Sequence[Drop], names: Collection[str] = ()) -> dict[str, Figure]:
    """Return figures by the name of their file, those for which there is something to draw.

    Args:
        runs: Rows of the runs.
        drops: Utilization within a clip, of each run of joint training.
        names: Names of all runs of the sweep; by default of those that are there.
    """
    joint = {
        name: list(rows.values()) for name, rows in sorted(routers(runs).items()) if name.startswith("joint-")
    }
    with _style():
        figures = {
            "fronts": fronts(runs, names),
            "utilization_by_file": utilization_by_file(joint),
            "utilization_over_time": utilization_over_time(drops),
        }
    return {name: figure for name, figure in figures.items() if figure is not None}


def fronts(runs: Runs, names: Collection[str] = ()) -> Figure | None:
    """Plot scores over MACs and over time: a panel for each column, a row for each cost.

    Marks are means over seeds and files, dots are means of single seeds.
    """
    drawn = series(runs, names)
    rows = [row for _, _, points in drawn for point in points for row in point]
    columns = [column for column in DRAWN if any(column in row for row in rows)]
    costs = [cost for cost in COSTS if any(cost in row for row in rows)]
    if not columns:
        return None
    from matplotlib.lines import Line2D

    sheet, panels = plots.make_panels(len(costs) * len(columns), 2.6, across=len(columns))
    places = [(cost, column) for cost in costs for column in columns]
    for panel, (cost, column) in zip(panels, places, strict=True):
        for label, style, points in drawn:
            _series(panel, points, cost, column, {**style, "label": label})
        panel.set(title=HEADINGS[column][0], xlabel=COSTS[cost][0])
        if cost == MACS:
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter("{x:g}")
        else:
            panel.locator_params(axis="x", nbins=5)
    seed = Line2D([], [], linestyle="", marker=".", color="#777", alpha=0.6, label="one seed")
    several = any(len(point) > 1 for _, _, points in drawn for point in points)
    return plots.legend_below(sheet, panels, [*panels[0].get_lines(), *([seed] if several else [])])


def series(runs: Runs, names: Collection[str] = ()) -> list[Series]:
    """Return the series that have points."""
    found: list[Series] = [
        (
            "slimmable network, fixed levels",
            {"color": "#1f5fa8", "marker": "o", "markersize": 4, "linestyle": "-"},
            _levels(runs.get(BACKBONE, {})),
        ),
        (
            "levels trained alone",
            {"color": "#7c7c7c", "marker": "X", "markersize": 4.5, "linestyle": "--"},
            _levels(levels_alone(runs, names)),
        ),
        (
            "the paper's size, fixed levels",
            {"color": "#111", "marker": "v", "markersize": 4, "linestyle": ":"},
            _levels(runs.get(PAPER_SIZE, {})),
        ),
    ]
    for beginning, (label, style) in KINDS.items():
        points: list[Point] = [
            list(rows.values()) for name, rows in routers(runs).items() if name.startswith(beginning)
        ]
        found.append((label, {"linestyle": "", **style}, points))
    return [(label, style, points) for label, style, points in found if points]


def _levels(seeds: Mapping[str, Mapping[str, Row]]) -> list[Point]:
    """Return a point for each level."""
    return [list(level_rows(seeds, level).values()) for level in next(iter(seeds.values()), {})]


def _series(panel: Axes, points: Iterable[Point], cost: str, column: str, style: dict[str, Any]) -> None:
    """Draw the points that have the cost and the score."""
    scale = COSTS[cost][1]
    usable = [point for point in points if all(cost in row and column in row for row in point)]
    seeds = [
        [(scale * float(np.mean(row[cost])), float(np.nanmean(row[column]))) for row in point]
        for point in usable
    ]
    means = sorted(tuple(np.mean(each, axis=0)) for each in seeds)
    if means:
        panel.plot(*zip(*means, strict=True), linewidth=1, **style)
    dots = [dot for each in seeds if len(each) > 1 for dot in each]
    if dots:
        across, up = zip(*dots, strict=True)
        panel.scatter(across, up, s=7, alpha=0.4, linewidths=0, color=style["color"])


def utilization_by_file(joint: Mapping[str, Sequence[Row]]) -> Figure | None:
    """Plot the gain of each file over its utilization, by ranges of the input's SI-SDR, for each target.

    A file's values are means over the seeds. Above, the distribution of utilization in each range.
    """
    if not joint:
        return None
    from matplotlib import colormaps

    sheet, grid = _grid(len(joint), heights=(1, 3.2))
    before = np.array(next(iter(joint.values()))[0][INPUT], float)
    bracket = np.digitize(before, BRACKETS, right=True)
    colors = colormaps["viridis"](np.linspace(0.05, 0.88, len(BRACKETS) + 1))
    labels = [f"up to {BRACKETS[0]:g} dB"]
    labels += [f"{low:g} to {high:g} dB" for low, high in pairwise(BRACKETS)]
    labels += [f"above {BRACKETS[-1]:g} dB"]
    for (top, panel), (name, rows) in zip(grid, joint.items(), strict=True):
        used = np.mean([row[USED] for row in rows], axis=0)
        gained = np.mean([np.subtract(row["si_sdr"], before) for row in rows], axis=0)
        grain = np.linspace(used.min() - 0.02, used.max() + 0.02, 200)
        for number, (color, label) in enumerate(zip(colors, labels, strict=True)):
            inside = bracket == number
            panel.scatter(
                used[inside], gained[inside], s=9, alpha=0.65, linewidths=0, color=color, label=label
            )
            if inside.any():
                top.plot(grain, density(used[inside], grain), color=color, linewidth=1.2)
        top.set(title=_target(name), yticks=[], ylim=(0, None))
        top.tick_params(labelbottom=False)
        top.spines["left"].set_visible(False)
        panel.set(xlabel="mean utilization of the file")
    for top, panel in grid[::ACROSS]:
        top.set(ylabel="density")
        panel.set(ylabel="SI-SDR improvement (dB)")
    _legend(sheet, grid[0][1], "SI-SDR of the noisy input")
    return sheet


def density(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the density of values by a Gaussian kernel of Silverman's width, at least 0.003."""
    width = max(1.06 * float(np.std(values)) * len(values) ** -0.2, 0.003)
    kernels = np.exp(-0.5 * ((at[:, None] - values) / width) ** 2)
    return kernels.mean(axis=1) / (width * math.sqrt(2 * math.pi))


def utilization_over_time(drops: Sequence[Drop]) -> Figure | None:
    """Plot the mean utilization over the time of a clip that is said twice, for each target."""
    if not drops:
        return None
    models: dict[str, list[Drop]] = {}
    for each in sorted(drops, key=lambda each: each.model):
        models.setdefault(each.model, []).append(each)
    sheet, grid = _grid(len(models), heights=(1,))
    for (panel,), (name, seeds) in zip(grid, models.items(), strict=True):
        frame_s = seeds[0].frame_s
        length = len(seeds[0].courses[0])
        for number, (label, color, line) in enumerate(NOISES):
            course = np.mean([seed.courses[number] for seed in seeds], axis=0)
            smooth = smoothed(course, max(1, round(SMOOTH_S / frame_s)))
            seconds = (np.arange(length) + 0.5) * frame_s
            panel.plot(seconds, smooth, line, color=color, linewidth=1.2, label=label)
        panel.axvline(length / 2 * frame_s, color="#444", linewidth=0.8, linestyle=":")
        panel.set(title=_target(name), xlabel="time (s)", xlim=(0, length * frame_s))
    for (panel,) in grid[::ACROSS]:
        panel.set(ylabel="mean utilization")
    _legend(sheet, grid[0][0])
    return sheet


def smoothed(values: np.ndarray, length: int) -> np.ndarray:
    """Return the moving average over `length` values; at the ends over those that are there."""
    ones = np.ones(length)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def _target(name: str) -> str:
    """Return the title of a panel from the name of a run of joint training."""
    return f"target {name.removeprefix('joint-')}"


def _grid(count: int, heights: Sequence[float]) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure, and for each of `count` places the panels from top to bottom."""
    from matplotlib.figure import Figure

    across = min(count, ACROSS)
    down = math.ceil(count / across)
    sheet = Figure(figsize=(max(3.2 * across, 5.5), 3.2 * down + 0.5), layout="constrained")
    places = sheet.add_gridspec(down * len(heights), across, height_ratios=[*heights] * down)
    grid: list[list[Axes]] = []
    for number in range(count):
        column: list[Axes] = []
        for part in range(len(heights)):
            spot = places[number // across * len(heights) + part, number % across]
            column.append(sheet.add_subplot(spot, sharex=column[0] if column else None, axisbelow=True))
        grid.append(column)
    return sheet, grid


def _legend(sheet: Figure, panel: Axes, title: str | None = None) -> None:
    handles, labels = panel.get_legend_handles_labels()
    sheet.legend(
        handles, labels, loc="outside lower center", ncols=4, title=title, markerscale=2, columnspacing=1.2
    )


def _style() -> Any:
    import matplotlib

    return matplotlib.rc_context(plots.STYLE)
