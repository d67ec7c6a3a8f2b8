"""Plots of an evaluation, each a function from results to a matplotlib figure. Nothing is shown or opened."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sese.evaluation.examples import Example
from sese.evaluation.front import cost_of
from sese.evaluation.headings import HEADINGS
from sese.evaluation.results import Comparison, Evaluation, LevelResult, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4  # panels in a row
AXES = {  # cost -> the label of its axis, and the unit of that
    "macs": ("MMAC/s", 1e-6),
    "time": ("real-time factor", 1.0),
}
RING: Any = {
    "marker": "o",
    "markersize": 11,
    "markerfacecolor": "none",
    "markeredgecolor": "#444",
    "markeredgewidth": 0.7,
}
"""Mark of a point that nothing beats."""

LONGEST_NAME = 28
"""Number of letters of a model's name in a legend."""

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "svg.hashsalt": "sese",  # equal input, equal bytes
}


GREY = "#7c7c7c"
NEUTRAL: Any = {
    "figure.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
}
"""Style of pictures that are read on light and on dark pages."""


def quality_against_macs(result: Evaluation) -> Figure:
    """Plot mean and 95% interval over million MACs a second, a panel per column."""
    noisy, *levels = result["levels"]
    levels = [level for level in levels if level["macs_per_second"] is not None]
    columns = list(noisy["mean"])
    sheet, panels = make_panels(len(columns), 2.5)
    for panel, column in zip(panels, columns, strict=True):
        panel.axhline(noisy["mean"][column]["mean"], color="#999", linestyle="--", label="noisy input")
        for varies, marker, color, label in (
            (False, "o-", "#1f5fa8", "fixed level"),
            (True, "*", "#c8391f", "varying"),
        ):
            drawn = [level for level in levels if level["dynamic"] == varies]
            if drawn:
                points(panel, drawn, column, marker, color, label)
        panel.set(title=HEADINGS[column][0], xlabel="MMAC/s")
    return legend_below(sheet, panels)


def quality_by_snr(result: Evaluation) -> Figure:
    """Plot means over input SNR, a panel per column and a line per level."""
    from matplotlib import colormaps

    noisy, *levels = result["levels"]
    columns = list(noisy["mean"])
    sheet, panels = make_panels(len(columns), 2.5)
    varying = [level["dynamic"] for level in levels]
    shades = iter(colormaps["viridis"](np.linspace(0.85, 0.1, len(levels))))
    reds = iter(colormaps["autumn"](np.linspace(0.1, 0.7, len(levels))))
    colors = [next(reds if varies else shades) for varies in varying]
    for panel, column in zip(panels, columns, strict=True):
        for level, color in [(noisy, "#999"), *zip(levels, colors, strict=True)]:
            groups = level["by_input_snr"]
            where = [group["snr_db"] + group["width_db"] / 2 for group in groups]
            line = "--" if level is noisy else "-"
            values = [group["mean"][column] for group in groups]
            panel.plot(where, values, line, marker=".", color=color, label=level["level"])
        panel.set(title=HEADINGS[column][0], xlabel="input SNR (dB)")
    return legend_below(sheet, panels)


def utilization_against_input(result: Evaluation) -> Figure | None:
    """Plot the share of compute of each file over its input SI-SDR; None where nothing varies."""
    levels = [level for level in result["levels"][1:] if level["dynamic"]]
    noisy = result["files"][0]
    if not levels or "si_sdr" not in noisy:
        return None
    before = {row["file"]: row["si_sdr"] for row in result["files"] if row["level"] == noisy["level"]}
    sheet, (panel,) = make_panels(1, 3.4)
    for number, level in enumerate(levels):
        rows = [row for row in result["files"] if row["level"] == level["level"]]
        panel.scatter(
            [before[row["file"]] for row in rows],
            [row["utilization"] for row in rows],
            s=14,
            alpha=0.6,
            color=f"C{number}",
            label=level["level"],
        )
    panel.set(xlabel="SI-SDR of the noisy input (dB)", ylabel="share of compute", ylim=(0, 1.05))
    return legend_below(sheet, [panel])


def fronts(comparison: Comparison, costs: Sequence[str] = ("macs", "time")) -> Figure:
    """Plot quality over each of `costs`, a panel per column, from `sese.evaluation.pareto.compare`.

    A color per model: a line through its fixed levels, marks for its policies, dashes for the oracle. A ring
    is around what nothing beats.
    """
    columns = comparison["columns"]
    sheet, panels = make_panels(len(columns) * len(costs), 2.7, across=min(len(columns), COLUMNS))
    places = [(cost, column) for cost in costs for column in columns]
    for panel, (cost, column) in zip(panels, places, strict=True):
        panel.axhline(comparison["noisy"][column]["mean"], color="#999", linestyle=":")
        for number, model in enumerate(comparison["models"]):
            _front(panel, comparison, model, column, cost, f"C{number % 10}")
        panel.set(title=HEADINGS[column][0], xlabel=AXES[cost][0])
    return legend_below(sheet, panels, _keys(comparison))


def _keys(comparison: Comparison) -> list[Any]:
    """Return the entries of the legend of `fronts`: colours of models, and marks of kinds of points."""
    from matplotlib.lines import Line2D

    budgets = [str(point["budget"]) for point in comparison["points"] if point["kind"] == "dynamic"]
    kinds: list[tuple[str, str, Any, bool]] = [
        ("fixed levels", "o", "-", any(point["kind"] == "static" for point in comparison["points"])),
        ("auto", "*", "-", "auto" in budgets),
        ("held budget", "s", "-", any(_is_held(point) for point in comparison["points"])),
        ("threshold", "^", "-", any(budget.startswith("threshold") for budget in budgets)),
        ("oracle (upper bound)", "", "--", bool(comparison["oracle"])),
        ("noisy input", "", ":", True),
    ]
    models = [
        Line2D([], [], color=f"C{number % 10}", linewidth=3, label=_brief(model))
        for number, model in enumerate(comparison["models"])
    ]
    marks = [
        Line2D([], [], color="#777", marker=marker, markersize=5, linestyle=line, linewidth=1, label=name)
        for name, marker, line, there in kinds
        if there
    ]
    ring = Line2D([], [], linestyle="", **RING, label="on the front")
    return [*models, *marks, ring]


def _brief(name: str) -> str:
    """Return a name with at most `LONGEST_NAME` letters, its end among them."""
    return name if len(name) <= LONGEST_NAME else "…" + name[1 - LONGEST_NAME :]


def _front(panel: Axes, comparison: Comparison, model: str, column: str, cost: str, color: str) -> None:
    scale = AXES[cost][1]

    def place(point: Point) -> float:
        return (cost_of(point, cost) or 0.0) * scale

    points = [
        each for each in comparison["points"] if each["model"] == model and cost_of(each, cost) is not None
    ]
    for marker, size, chosen in (
        ("o-", 4, [each for each in points if each["kind"] == "static"]),
        ("*", 10, [each for each in points if each["budget"] == "auto"]),
        ("s", 4.5, [each for each in points if _is_held(each)]),
        ("^", 5, [each for each in points if str(each["budget"]).startswith("threshold")]),
    ):
        if chosen:
            chosen = sorted(chosen, key=place)
            where = [place(each) for each in chosen]
            means = [each["mean"][column]["mean"] for each in chosen]
            panel.plot(where, means, marker, color=color, markersize=size)
    best = [each for each in points if cost in each["front"][column]]
    panel.plot(
        [place(each) for each in best],
        [each["mean"][column]["mean"] for each in best],
        linestyle="",
        **RING,
    )
    ideal = [
        each
        for each in comparison["oracle"]
        if (each["model"], each["column"], each["over"]) == (model, column, cost)
    ]
    if ideal:
        where = [each["cost"] * scale for each in ideal]
        means = [each["score"] for each in ideal]
        panel.plot(where, means, "--", color=color, linewidth=0.9)


def _is_held(point: Point) -> bool:
    budget = point["budget"]
    return point["kind"] == "dynamic" and (not isinstance(budget, str) or budget.startswith("held:"))


def spectrograms(example: Example, sample_rate: int) -> Figure:
    """Plot noisy, enhanced and clean on one scale of 80 dB, and the share of compute of each frame."""
    traced = example.trace is not None
    with _style(NEUTRAL):
        from matplotlib.figure import Figure

        sheet = Figure(figsize=(9, 6.2 if traced else 5.2), layout="constrained")
        panels = sheet.subplots(
            3 + traced, sharex=True, height_ratios=[2, 2, 2, *([1.1] if traced else [])], squeeze=False
        )[:, 0]
        signals = {"noisy": example.noisy, "enhanced": example.enhanced, "clean": example.clean}
        levels = {name: _decibels(audio) for name, audio in signals.items()}
        top = max(float(level.max()) for level in levels.values())
        seconds = len(example.noisy) / sample_rate
        for panel, (name, level) in zip(panels, levels.items(), strict=False):
            image = panel.imshow(
                level.T,
                origin="lower",
                aspect="auto",
                extent=(0, seconds, 0, sample_rate / 2000),
                vmin=top - 80,
                vmax=top,
                cmap="magma",
                interpolation="nearest",
            )
            panel.set(ylabel=f"{name}\nkHz")
            panel.grid(False)
        sheet.colorbar(image, ax=list(panels[:3]), label="dB", pad=0.01, aspect=40)
        if example.trace is not None:
            time = np.arange(len(example.trace)) * example.frame_s
            panels[-1].step(time, example.trace, where="post", color="#c8391f", linewidth=0.9)
            panels[-1].set(ylabel="share of compute", ylim=(0, 1.05))
        panels[-1].set(xlabel="s", xlim=(0, seconds))
    return sheet


def points(panel: Axes, levels: list[LevelResult], column: str, marker: str, color: str, label: str) -> None:
    """Plot means of `levels` with their intervals, over million MACs a second."""
    values = [level["mean"][column] for level in levels]
    error = np.array([[v["mean"] - v["low"], v["high"] - v["mean"]] for v in values]).T
    panel.errorbar(
        [(level["macs_per_second"] or 0.0) / 1e6 for level in levels],
        [value["mean"] for value in values],
        error,
        fmt=marker,
        color=color,
        capsize=2,
        elinewidth=0.8,
        markersize=8 if "*" in marker else 4,
        label=label,
    )


def to_svg(sheet: Figure) -> bytes:
    """Return the figure as SVG."""
    return _saved(sheet, format="svg", metadata={"Date": None})


def to_png(sheet: Figure, dots_per_inch: int = 100) -> bytes:
    """Return the figure as PNG."""
    return _saved(sheet, format="png", dpi=dots_per_inch)


def to_webp(sheet: Figure) -> bytes:
    """Return the figure as WebP, for spectrograms: a tenth of their size as PNG."""
    return _saved(sheet, format="webp", dpi=110, pil_kwargs={"quality": 85})


def _saved(sheet: Figure, **options: Any) -> bytes:
    file = io.BytesIO()
    with _style():
        sheet.savefig(file, **options)
    return file.getvalue()


def make_panels(count: int, height: float, across: int = COLUMNS) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, at most `across` in a row."""
    with _style():
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        layout = ConstrainedLayoutEngine(h_pad=0.09)  # inches: between an axis' name and the next title
        across = min(count, across)
        down = math.ceil(count / across)
        width = 2.75 * across if count > 1 else 6.5
        sheet = Figure(figsize=(max(width, 5.5), height * down + 0.3), layout=layout)
        panels = list(sheet.subplots(down, across, squeeze=False).flat)
    for panel in panels[count:]:
        panel.remove()
    return sheet, panels[:count]


def legend_below(sheet: Figure, panels: list[Axes], handles: list[Any] | None = None) -> Figure:
    """Put a legend below all panels, and return the figure.

    Args:
        sheet: Figure.
        panels: Panels of the figure.
        handles: Entries of the legend; None for those of the first panel.
    """
    if handles is None:
        handles, labels = panels[0].get_legend_handles_labels()
    else:
        labels = [handle.get_label() for handle in handles]
    widest = 0.6 + 0.085 * max(map(len, labels))  # inches: a mark, and letters
    across = max(1, min(len(labels), int(sheet.get_figwidth() / widest)))
    rows = math.ceil(len(labels) / across)
    sheet.set_figheight(sheet.get_figheight() + 0.19 * (rows - 1))
    sheet.legend(handles, labels, loc="outside lower center", ncols=across, frameon=False, fontsize=9)
    return sheet


def _decibels(audio: np.ndarray) -> np.ndarray:
    """Return power in dB [frame, bin], from Hann windows of 512 samples, 128 apart."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, 256), 512)[::128]
    power = np.abs(np.fft.rfft(frames * np.hanning(512), axis=-1)) ** 2
    return 10 * np.log10(power + 1e-10)


def _style(more: Any = None) -> Any:
    import matplotlib

    return matplotlib.rc_context(STYLE | (more or {}))
