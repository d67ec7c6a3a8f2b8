"""An evaluation as one HTML page: tables, plots, spectrograms and sound, all inside the file."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

from sese.core.tables import NOTHING, shown
from sese.evaluation import html, verdict
from sese.evaluation.examples import Example
from sese.evaluation.headings import COMPUTE, HEADINGS
from sese.evaluation.report import compute_cells, enough_by_snr, left_out
from sese.evaluation.results import Evaluation, Mean


def to_html(result: Evaluation, examples: Sequence[Example] = ()) -> str:
    """Return the page of an evaluation.

    Args:
        result: result of `sese.evaluation.suite.evaluate`.
        examples: clips of `sese.evaluation.examples.make_examples`.
    """
    columns = list(result["levels"][0]["mean"])
    parts = [
        html.verdict(verdict.of_evaluation(result)),
        html.paragraph(
            f"{result['file_count']} files, {result['audio_s'] / 60:.1f} minutes at"
            f" {result['sample_rate'] / 1000:g} kHz. Small below each mean: its interval"
            f" ({result['interval']}). RTF is the time to enhance over the duration, one thread,"
            f" {result['jobs']} process(es) at once. A click on a heading sorts a table."
        ),
        html.table(
            ["level", *COMPUTE, *(HEADINGS[column][0] for column in columns)],
            [
                [level["level"], *compute_cells(level), *_scores(level["mean"], columns)]
                for level in result["levels"]
            ],
        ),
        *(html.paragraph(said) for said in left_out(result)),
        "<h2>Improvement over the noisy input</h2>",
        html.paragraph("File by file, with intervals as above."),
        html.table(
            ["level", *(HEADINGS[column][0] for column in columns)],
            [
                [level["level"], *_scores(level["improvement"], columns, signed=True)]
                for level in result["levels"]
                if "improvement" in level
            ],
        ),
        *(_plots(result) if _can_plot() else [html.no_plots()]),
    ]
    if examples:
        parts += ["<h2>Clips</h2>", html.paragraph(f"Enhanced at {examples[0].level}.")]
        parts += [_example(example, result["sample_rate"]) for example in examples]
    described = (
        f"{metric['definition']}: {metric['package']} {metric['version']}"
        for metric in result["metrics"].values()
    )
    versions = (f"{name} {version}" for name, version in result["versions"].items())
    parts += ["<h2>Metrics and versions</h2>", html.bullets([*described, ", ".join(versions)])]
    return html.page(f"Evaluation of {result['model']}", parts)


def _scores(values: dict[str, Mean], columns: list[str], signed: bool = False) -> list[html.Cell]:
    cells: list[html.Cell] = []
    for column in columns:
        value, decimals = values[column], HEADINGS[column][1]
        if not math.isfinite(value["mean"]):
            cells.append(NOTHING)
            continue
        interval = f"{value['low']:.{decimals}f} to {value['high']:.{decimals}f}"
        cells.append((shown(value["mean"], decimals, signed), interval))
    return cells


def _plots(result: Evaluation) -> list[str]:
    from sese.evaluation import plots

    parts = []
    if any(level["macs_per_second"] is not None for level in result["levels"]):
        parts += [
            "<h2>Quality against compute</h2>",
            html.figure(
                plots.to_svg(plots.quality_against_macs(result)),
                "svg+xml",
                "Means over all files with 95% intervals, over million multiply-accumulates a second.",
            ),
        ]
    if enough_by_snr(result):
        parts += [
            "<h2>Quality by input SNR</h2>",
            html.figure(
                plots.to_svg(plots.quality_by_snr(result)),
                "svg+xml",
                "Means over the files of one input SNR, or of 5 dB of it around the dot.",
            ),
        ]
    scatter = plots.utilization_against_input(result)
    if scatter is not None:
        parts += [
            "<h2>Compute against input quality</h2>",
            html.figure(
                plots.to_svg(scatter), "svg+xml", "A dot per file: the mean share of compute of its frames."
            ),
        ]
    return parts


def _example(example: Example, sample_rate: int) -> str:
    heading, decimals = HEADINGS[example.column]
    before, after = (f"{value:.{decimals}f}" for value in example.scores)
    parts = [html.heading(f"{example.name}: {example.why}; {heading} {before} to {after}")]
    if _can_plot():
        from sese.evaluation import plots

        caption = "Noisy, enhanced and clean" + (
            ", and share of compute." if example.trace is not None else "."
        )
        parts.append(html.figure(plots.to_webp(plots.spectrograms(example, sample_rate)), "webp", caption))
    signals = (("noisy", example.noisy), ("enhanced", example.enhanced), ("clean", example.clean))
    parts.append(html.players(signals, sample_rate))
    return "\n".join(parts)


def _can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None
