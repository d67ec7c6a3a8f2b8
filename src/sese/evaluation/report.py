"""Write an evaluation: JSON with everything, CSV with a line per file and level, Markdown for reading."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.tables import NOTHING, shown, table
from sese.evaluation import verdict
from sese.evaluation.headings import COMPUTE, HEADINGS
from sese.evaluation.results import Compute, Evaluation, LevelResult, Mean, SnrGroup

SNR_FILES = 8
"""Mean number of files of an input SNR below which the scores by input SNR are left out."""


def write_report(result: Evaluation, folder: str | Path, page: str | None = None) -> list[Path]:
    """Write `evaluation.json`, `.csv` and `.md`, and a page as `.html`, into `folder`, created where missing.

    Each file appears whole or not at all. Scores that are not finite are null in JSON, empty in CSV.

    Args:
        result: result of `sese.evaluation.suite.evaluate`.
        page: HTML of `sese.evaluation.page.to_html`; None for no page.

    Returns:
        The paths.
    """
    texts = {"json": to_json(result), "csv": to_csv(result), "md": to_markdown(result)}
    return write_files(folder, "evaluation", texts | ({} if page is None else {"html": page}))


def write_files(folder: str | Path, stem: str, contents: Mapping[str, str | bytes]) -> list[Path]:
    """Write `stem.suffix` for every suffix in `contents`, each whole or not at all; returns the paths."""
    folder = make_folder(folder)
    paths = []
    for suffix, content in contents.items():
        paths.append(folder / f"{stem}.{suffix}")
        with replacing(paths[-1]) as part:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    return paths


def make_folder(folder: str | Path) -> Path:
    """Create a folder where missing: before the work, so that hours of it cannot end in a bad path.

    Raises:
        InputError: it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); name another folder") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written to; name another folder")
    return folder


def to_json(result: Mapping[str, Any]) -> str:
    """Return the whole result as JSON text; numbers that are not finite become null."""
    return json.dumps(nan_to_none(result), indent=1, allow_nan=False) + "\n"


def to_csv(result: Evaluation) -> str:
    """Return one line per file and level, with every column."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(result["files"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(nan_to_none(result["files"]))
    return text.getvalue()


def to_markdown(result: Evaluation) -> str:
    """Return a verdict, a table of levels, how they were measured, and a table of input SNRs for each metric.

    A cell is the mean and, after ±, half the width of its 95% interval. With few files there are no tables of
    input SNRs, see `enough_by_snr`.
    """
    columns = list(result["levels"][0]["mean"])
    lines = [f"# Evaluation of {result['model']}", "", verdict.of_evaluation(result), ""]
    lines += [*table(*level_table(result)), "", about(result), ""]
    for metric in result["metrics"].values():
        lines.append(f"- {metric['definition']}: {metric['package']} {metric['version']}")
    lines += ["", *(line for said in left_out(result) for line in (said, "")), *_snr_lines(result, columns)]
    return "\n".join(lines).rstrip() + "\n"


def level_table(result: Evaluation, intervals: bool = True) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table of levels.

    Args:
        result: result of `sese.evaluation.suite.evaluate`.
        intervals: whether a mean is followed by ± and half the width of its interval.
    """
    columns = list(result["levels"][0]["mean"])
    header = ["level", *COMPUTE, *(HEADINGS[column][0] for column in columns)]
    return header, [_level_cells(level, columns, intervals) for level in result["levels"]]


def snr_table(result: Evaluation, column: str) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table of a column by input SNR."""
    decimals = HEADINGS[column][1]
    header = ["level", *(_snr_heading(group) for group in result["levels"][0]["by_input_snr"])]
    return header, [
        [level["level"], *(shown(group["mean"][column], decimals) for group in level["by_input_snr"])]
        for level in result["levels"]
    ]


def enough_by_snr(result: Evaluation) -> bool:
    """Return whether there are several input SNRs, with enough files of each for a mean."""
    groups = result["levels"][0]["by_input_snr"]
    return len(groups) > 1 and sum(group["files"] for group in groups) >= SNR_FILES * len(groups)


def about(result: Evaluation, intervals: bool = True) -> str:
    """Return how the scores of an evaluation were measured.

    Args:
        result: result of `sese.evaluation.suite.evaluate`.
        intervals: whether the scores are shown with their intervals.
    """
    half = f"; ± half of the interval ({result['interval']})" if intervals else ""
    return (
        f"Means over {result['file_count']} files ({result['audio_s'] / 60:.1f} min) at"
        f" {result['sample_rate'] / 1000:g} kHz{half}."
        f" RTF: time to enhance over duration, {result['jobs']} process(es) at once."
    )


def _level_cells(level: LevelResult, columns: list[str], intervals: bool) -> list[str]:
    return [
        level["level"],
        *compute_cells(level),
        *(_interval(level["mean"][column], HEADINGS[column][1], intervals) for column in columns),
    ]


def compute_cells(level: Compute) -> list[str]:
    """Return the cells of `COMPUTE`: share of compute in percent, million MACs a second, real-time factor."""
    used, macs = level["utilization"], level["macs_per_second"]
    return [
        NOTHING if used is None else f"{100 * used:.3g}%",
        shown(None if macs is None else macs / 1e6, 1),
        shown(level["real_time_factor"], 3),
    ]


def failure_counts(result: Evaluation) -> dict[str, int]:
    """Count the scores that are not finite, by column and level."""
    return Counter(f"{failure['column']} at {failure['level']}" for failure in result["failures"])


def left_out(result: Evaluation) -> list[str]:
    """Return sentences about what is not in the means: scores without a finite value, and files."""
    said = []
    if counts := failure_counts(result):
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        said.append(f"Scores without a finite value, left out of the means: {listed}.")
    if unread := result.get("unread"):
        said.append(f"Files that cannot be read or scored, left out: {len(unread)}.")
        said += [each["error"] for each in unread]
    return said


def _snr_lines(result: Evaluation, columns: list[str]) -> list[str]:
    if not enough_by_snr(result):
        return []
    lines = []
    for column in columns:
        lines += [f"{HEADINGS[column][0]} by input SNR", "", *table(*snr_table(result, column)), ""]
    return lines


def _snr_heading(group: SnrGroup) -> str:
    low, width = group["snr_db"], group["width_db"]
    span = f"{low:g} to {low + width:g}" if width else f"{low:g}"
    return f"{span} dB ({group['files']})"


def _interval(value: Mean, decimals: int, intervals: bool) -> str:
    if not (intervals and math.isfinite(value["mean"])):
        return shown(value["mean"], decimals)
    return f"{value['mean']:.{decimals}f} ±{(value['high'] - value['low']) / 2:.{decimals}f}"


def nan_to_none(value: Any) -> Any:
    """Return nested lists and dicts with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: nan_to_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [nan_to_none(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
