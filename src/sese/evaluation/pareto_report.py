"""Write a comparison of `sese.evaluation.pareto.compare`: Markdown, CSV and a page with plots."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
from typing import Any

from sese.core.tables import NOTHING, shown, table
from sese.evaluation import html, verdict
from sese.evaluation.front import COSTS
from sese.evaluation.headings import COMPUTE, HEADINGS
from sese.evaluation.report import compute_cells, nan_to_none
from sese.evaluation.results import Comparison, Mean

ORACLE = (
    "Oracle: the best fixed level for each file, chosen with its score known, at a price of compute. An upper"
    " bound for policies that keep one level in a file; nothing that runs can know it."
)
GAIN = "Gain over fixed levels at equal MACs"
PARTS = (("", "mean"), ("_low", "low"), ("_high", "high"))


def to_csv(comparison: Comparison) -> str:
    """Return a line per point, and one per outcome of the oracle with its one column."""
    columns = comparison["columns"]
    rows = []
    for point in comparison["points"]:
        row: dict[str, Any] = {
            "model": point["model"],
            "level": point["level"],
            "kind": point["kind"],
            "utilization": point["utilization"],
            "macs_per_second": point["macs_per_second"],
            "real_time_factor": point["real_time_factor"],
        }
        for column in columns:
            value, gain = point["mean"][column], point.get("gain", {}).get(column) or {}
            row |= {column: value["mean"], f"{column}_low": value["low"], f"{column}_high": value["high"]}
            row[f"{column}_front"] = " ".join(point["front"][column])
            row |= {f"{column}_gain{part}": gain.get(key) for part, key in PARTS}
        rows.append(row)
    for each in comparison["oracle"]:
        compute = {COSTS[each["over"]]: each["cost"]}
        rows.append({"model": each["model"], "level": "oracle", "kind": "oracle"} | compute)
        rows[-1][each["column"]] = each["score"]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(nan_to_none(rows))
    return text.getvalue()


def to_markdown(comparison: Comparison) -> str:
    """Return tables of the points and of the gains of dynamic ones, and how they were measured."""
    lines = [f"# {title(comparison)}", "", verdict.of_comparison(comparison), ""]
    lines += [*table(*point_table(comparison)), "", about(comparison), ""]
    header, gains = gain_table(comparison)
    if gains:
        lines += [GAIN, "", *table(header, gains), "", _about_gains(comparison), ""]
    lines += [ORACLE, ""]
    for metric in comparison["metrics"].values():
        lines.append(f"- {metric['definition']}: {metric['package']} {metric['version']}")
    return "\n".join(lines) + "\n"


def to_html(comparison: Comparison) -> str:
    """Return the comparison as a page with plots, complete in itself."""
    parts = [html.verdict(verdict.of_comparison(comparison)), html.paragraph(about(comparison))]
    if importlib.util.find_spec("matplotlib") is None:
        parts.append(html.no_plots())
    else:
        from sese.evaluation import plots

        for cost, name in (("macs", "Quality over compute"), ("time", "Quality over time")):
            image = plots.to_svg(plots.fronts(comparison, [cost]))
            caption = f"{name}. Rings: on the front. {ORACLE}"
            parts += [f"<h2>{name}</h2>", html.figure(image, "svg+xml", caption)]
    parts += ["<h2>Points</h2>", html.table(*point_table(comparison))]
    header, gains = _gains(comparison)
    if gains:
        parts += [f"<h2>{GAIN}</h2>", html.table(header, gains)]
        parts.append(html.paragraph(_about_gains(comparison)))
    described = (f"{m['definition']}: {m['package']} {m['version']}" for m in comparison["metrics"].values())
    parts += ["<h2>Metrics</h2>", html.bullets(described)]
    return html.page(title(comparison), parts)


def title(comparison: Comparison) -> str:
    """Return the title of a comparison."""
    return "Quality over compute: " + ", ".join(comparison["models"])


def point_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table of points, with marks of what is on a front."""
    columns = comparison["columns"]
    header = ["model", "level", *COMPUTE, *(HEADINGS[column][0] for column in columns)]
    rows = []
    for point in comparison["points"]:
        rows.append(
            [
                point["model"],
                point["level"].removeprefix("budget "),
                *compute_cells(point),
                *(
                    shown(point["mean"][column]["mean"], HEADINGS[column][1])
                    + ("*" if "macs" in point["front"][column] else "")
                    + ("\u2020" if "time" in point["front"][column] else "")
                    for column in columns
                ),
            ]
        )
    return header, rows


def _gains(comparison: Comparison) -> tuple[list[str], list[list[html.Cell]]]:
    columns = comparison["columns"]
    header = ["model", "level", "MMAC/s", *(HEADINGS[column][0] for column in columns)]
    rows: list[list[html.Cell]] = []
    for point in comparison["points"]:
        if "gain" in point and point["macs_per_second"] is not None:
            gains = (_gain(point["gain"][column], HEADINGS[column][1]) for column in columns)
            macs = shown(point["macs_per_second"] / 1e6, 1)
            rows.append([point["model"], point["level"].removeprefix("budget "), macs, *gains])
    return header, rows


def _gain(value: Mean | None, decimals: int) -> html.Cell:
    if value is None or not math.isfinite(value["mean"]):
        return NOTHING
    mean, low, high = (f"{value[key]:+.{decimals}f}" for key in ("mean", "low", "high"))
    return mean, f"{low} to {high}"


def gain_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table of gains of policies, as texts."""
    header, rows = _gains(comparison)
    return header, [
        [cell if isinstance(cell, str) else f"{cell[0]} ({cell[1]})" for cell in row] for row in rows
    ]


def about(comparison: Comparison) -> str:
    jobs = " or ".join(str(each) for each in sorted(set(comparison["jobs"])))
    return (
        f"Means over {comparison['file_count']} files ({comparison['audio_s'] / 60:.1f} min)."
        " * on the front over MACs, \u2020 over time: no other point scores as high for less."
        f" RTF: time to enhance over duration, one thread, {jobs} process(es) at once."
    )


def _about_gains(comparison: Comparison) -> str:
    return (
        "Mean score minus that of the front of all fixed levels, on the straight line between its points at"
        f" the same average MACs; file by file, with the interval ({comparison['interval']})."
        " Above the front's last point that point counts; – below its first."
    )
