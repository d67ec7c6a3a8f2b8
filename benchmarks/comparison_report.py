"""Tables and plots of `comparison.py`: quality over compute and over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from model_times import FRAME_MS
from sese.core.tables import table, with_interval
from sese.evaluation import report

COLUMNS = ("pesq_wb", "estoi", "si_sdr")
DIGITS = {"pesq_wb": 3, "estoi": 3, "si_sdr": 2}
DRAWN = ("pesq_wb", "si_sdr")
GAINS = ("mmacs", "ms", "levels")  # what a point is held against
BUDGETS = {"mmacs": (10, 20, 40, 80, 160, 320), "ms": (0.1, 0.15, 0.2, 0.3, 0.4, 0.6)}
UNITS = {"mmacs": "MMAC/s", "ms": f"ms for {FRAME_MS} ms, one frame a call"}
NOTE = (
    f"ms: for {FRAME_MS} ms of audio, one frame a call, one thread. Saved: of the same model's highest level."
    " Over its statics: mean difference to the line through the networks of one size of the same system at"
    " the same cost, paired by file, with its 95% interval; over its levels: to the line through its own"
    " fixed levels, which is what a choice for each frame is worth. Used: share of the scalable compute in"
    " files below 2.5 dB, up to 12.5 dB, above."
)
SEEDS_NOTE = (
    " Points are means over the seeds. Differences are those of each file's mean over the seeds that both"
    " sides have; the lines below have each seed by itself. A difference is decided where there are two seeds"
    " or more, its interval excludes zero, and every seed is on the same side of zero; else it is open."
)


def to_markdown(
    points: Sequence[Any], claims: Sequence[Mapping[str, Any]], noisy: Mapping[str, float], about: str
) -> str:
    """Return the report: all points, the pairs of the claims, and the best point for each budget.

    Where a point has several seeds, the tables tell how many there are, and the claims have verdicts and a
    line for each seed.
    """
    note = NOTE + (SEEDS_NOTE if _several(points) else "")
    lines = [*_points(points, noisy), ""]
    if claims:
        lines += [*_claims(claims, _several(points)), ""]
    for cost in BUDGETS:
        lines += [*_best(points, cost), ""]
    return "\n".join([*lines, f"{about} {note}"]) + "\n"


def _several(points: Sequence[Any]) -> bool:
    """Return whether a point has several seeds."""
    return any(len(point.seeds) > 1 for point in points)


def _points(points: Sequence[Any], noisy: Mapping[str, float]) -> list[str]:
    """Return the table of a system."""
    header = [
        "system",
        "model",
        "at",
        "MMAC/s",
        "ms",
        "saved: MACs",
        "ms",
        "used",
        "PESQ",
        "ESTOI",
        "SI-SDR, dB",
    ]
    header += ["PESQ over its statics at equal MACs", "at equal ms", "over its levels at equal MACs"]
    cells = [["noisy input", *[""] * 7, *(_number(noisy[c], DIGITS[c]) for c in COLUMNS), *[""] * 3]]
    ordered = sorted(points, key=lambda p: (p.system, p.kind == "static", p.model, p.mmacs))
    for point in ordered:
        used = point.by_snr(point.files("utilization")) if point.kind == "dynamic" else []
        cells.append(
            [
                point.system,
                point.model,
                "static" if point.kind == "static" else point.budget,
                f"{point.mmacs:.1f}",
                _number(point.ms, 3),
                *(_number(100 * point.saved.get(cost, math.nan), 0, "%") for cost in ("mmacs", "ms")),
                " ".join(_number(share, 2) for share in used),
                *(_number(point.mean(column), DIGITS[column]) for column in COLUMNS),
                *(_difference(point.gains.get(key, {}).get("pesq_wb"), 3) for key in GAINS),
            ]
        )
    if _several(points):
        header.insert(3, "seeds")
        for line, count in zip(cells, ["", *(str(len(point.seeds)) for point in ordered)], strict=True):
            line.insert(3, count)
    return table(header, cells)


def _claims(claims: Sequence[Mapping[str, Any]], several: bool) -> list[str]:
    """Return the table of the pairs that claims are about.

    Args:
        claims: Differences.
        several: Whether there are several seeds: each difference has a verdict then, by the rule of
            `comparison.verdict`, and lines below it have the difference of each seed by itself.
    """
    header = ["claim", "of", "against", "MMAC/s", "ms", "PESQ", "of these below 2.5, to 12.5, above", "ESTOI"]
    rows = []
    for each in claims:
        costs = [" / ".join(_number(v, d) for v in each[key]) for key, d in (("mmacs", 1), ("ms", 3))]
        verdicts = each["verdicts"] if several else {}
        rows.append([each["claim"], each["of"], each["against"], *costs, *_differences(each, verdicts)])
        if several:
            rows += [[seed, "", "", "", "", *_differences(value)] for seed, value in each["seeds"].items()]
    return table([*header, "SI-SDR, dB"], rows)


def _differences(value: Mapping[str, Any], verdicts: Mapping[str, str] | None = None) -> list[str]:
    """Return cells of a difference: in PESQ, by range of SNR, in the other scores; with verdicts if given."""
    cells = []
    for column in COLUMNS:
        end = f", {verdicts[column]}" if verdicts else ""
        cells.append(_difference(value[column], DIGITS[column]) + end)
    return [cells[0], " ".join(f"{each:+.3f}" for each in value["pesq_by_snr"]), *cells[1:]]


def _best(points: Sequence[Any], cost: str) -> list[str]:
    """Return a table of the best point within each budget, by PESQ and by SI-SDR."""
    rows = []
    for budget in BUDGETS[cost]:
        within = [point for point in points if getattr(point, cost) <= budget]
        if within:
            cells = [f"{budget:g}"]
            for column in DRAWN:
                best = max(within, key=lambda point: point.mean(column))
                cells.append(f"{best.model} at {best.budget}: {_number(best.mean(column), DIGITS[column])}")
            rows.append(cells)
    return table([f"up to, {UNITS[cost]}", "best PESQ", "best SI-SDR, dB"], rows)


def _number(value: float, decimals: int, unit: str = "") -> str:
    """Return a number as text; empty if it is not finite."""
    return f"{value:.{decimals}f}{unit}" if math.isfinite(value) else ""


def _difference(value: Mapping[str, float] | None, decimals: int) -> str:
    """Return a mean with its interval as text; empty if there is none."""
    return "" if value is None else with_interval(value, decimals, sign=True)


def draw(points: Sequence[Any], noisy: Mapping[str, float]) -> Any:
    """Draw quality over compute and over time: one color per system, one line through the levels of a model.

    Only the first scalable model of a system is drawn; the table has all.
    """
    from matplotlib.figure import Figure

    axes = [cost for cost in UNITS if all(math.isfinite(getattr(point, cost)) for point in points)]
    sheet = Figure(figsize=(11, 3.6 * len(axes) + 0.8), layout="constrained")
    grid = sheet.subplots(len(axes), len(DRAWN), squeeze=False)
    names = list(dict.fromkeys(point.system for point in points))
    for cost, row in zip(axes, grid, strict=True):
        for column, panel in zip(DRAWN, row, strict=True):
            panel.axhline(noisy[column], color="#999", linestyle=":", label="noisy input")
            for number, name in enumerate(names):
                mine = [point for point in points if point.system == name]
                first = next((point.model for point in mine if point.kind != "static"), None)
                mine = [point for point in mine if point.kind == "static" or point.model == first]
                _draw_system(panel, mine, cost, column, f"C{number % 10}")
            panel.set(ylabel=report.HEADINGS[column][0], xscale="log", xlabel=UNITS[cost])
            panel.set_xticks(BUDGETS[cost], [f"{budget:g}" for budget in BUDGETS[cost]])
            panel.minorticks_off()
    handles, labels = grid[0][0].get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return sheet


def _draw_system(panel: Any, points: Sequence[Any], cost: str, column: str, color: str) -> None:
    """Draw levels as circles and lines, dynamic models as stars, and networks of one size as crosses."""
    styles = {"level": ("o-", 5, ""), "dynamic": ("*", 10, ", dynamic"), "static": ("x", 6, ", one size")}
    labelled: set[str] = set()
    for model in dict.fromkeys(point.model for point in points):
        for kind, (style, size, suffix) in styles.items():
            mine = [point for point in points if (point.model, point.kind) == (model, kind)]
            mine.sort(key=lambda point: point.mmacs)
            if mine:
                values = [getattr(p, cost) for p in mine], [p.mean(column) for p in mine]
                about = None if kind in labelled else mine[0].system + suffix
                panel.plot(*values, style, color=color, markersize=size, linewidth=1, label=about)
                labelled.add(kind)
