"""`sese evaluate`: quality of a model at every level, over pairs of clean and noisy files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sese.cli.options import model_names, number_or_word
from sese.cli.run_models import usable
from sese.cli.screen import counting, show_table, terminal
from sese.core.errors import InputError, plain

if TYPE_CHECKING:
    from rich.console import Console

    from sese.evaluation.results import Evaluation


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="Name of a model, or path of a model folder, an .onnx file or the folder of a run.",
            autocompletion=model_names,
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with clean/ and noisy/, or the VoiceBank+DEMAND test set;"
            " with --predict any audio file, or folder of them."
        ),
    ],
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            "-b",
            help="Budget to score, see `sese enhance --help`; may be repeated.",
            show_default="every level, and auto where the model has a router",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Number of files to take, spread over the folder.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Number of processes.", show_default="one per core")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Metrics, separated by commas: pesq,stoi,estoi,si_sdr,dnsmos,predicted.",
            show_default="all but predicted; with --predict only that",
        ),
    ] = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="Estimate PESQ without clean references.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Folder for evaluation.json, .csv, .md and .html.")
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=4,
            help="Number of clips to show in the .html: worst, median, best, lowest SNR.",
            show_default="4",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Score a model at each of its levels against clean references, and the noisy input too.

    With --predict there are no references: a small network estimates PESQ of the recordings before and after
    enhancing.

    The exit code is 1 where a score of a file is missing, or with --predict where a file cannot be read. Such
    files are counted in the report and left out of the means.
    """
    from sese.evaluation import report
    from sese.evaluation.examples import COUNT, Example, make_examples
    from sese.evaluation.page import to_html
    from sese.evaluation.pairs import find_pairs, find_recordings
    from sese.evaluation.suite import evaluate as run

    if out is not None:
        report.make_folder(out)
    budgets = [number_or_word(text) for text in budget or ()]
    names = metric_names(metrics)
    if predict:
        names = reference_free(names)
    if examples is not None and (predict or out is None):
        raise InputError("--examples are shown on the page of --out-dir, and need clean references")
    pairs = find_recordings(data, limit) if predict else find_pairs(data, limit)
    place = usable(model)
    with counting("files") as progress:
        result = run(place, pairs, budgets, metrics=names, jobs=jobs, progress=progress)
    clips: Sequence[Example] = ()
    if out is not None and not predict:
        clips = make_examples(result, pairs, COUNT if examples is None else examples)
    result["model"], result["data"] = model, str(data)
    console = None if as_json else terminal()
    if console is None:
        typer.echo(report.to_json(result) if as_json else plain(report.to_markdown(result)), nl=False)
    else:
        _show(console, result)
    if out is not None:
        page = to_html(result, clips)
        for path in report.write_report(result, out, page):
            typer.echo(f"wrote {path}", err=True)
    for each in result["unread"]:
        typer.echo(f"sese: error: {plain(each['error'])}", err=True)
    if result["failures"]:
        typer.echo(f"sese: {len(result['failures'])} scores have no finite value; see the report", err=True)
    if result["failures"] or result["unread"]:
        raise typer.Exit(1)


def _show(console: Console, result: Evaluation) -> None:
    """Print the verdict, the levels, and the main score by input SNR, on a terminal."""
    from sese.evaluation import report, verdict

    console.print(verdict.of_evaluation(result))
    show_table(console, *report.level_table(result, intervals=False), fixed=1)
    if report.enough_by_snr(result):
        column = verdict.main_column(list(result["levels"][0]["mean"]))
        console.print(f"{report.HEADINGS[column][0]} by input SNR (files)")
        show_table(console, *report.snr_table(result, column))
    console.print(report.about(result, intervals=False), style="dim")
    console.print("Intervals, all scores by input SNR, clips and plots: -o FOLDER", style="dim")


def reference_free(names: list[str] | None) -> list[str]:
    """Return the metrics for recordings without clean references; None stands for the predicted PESQ.

    Raises:
        InputError: A metric needs clean references.
    """
    names = ["predicted"] if names is None else names
    needing = [name for name in names if name not in ("predicted", "dnsmos")]
    if needing:
        raise InputError(
            f"--predict takes recordings without clean sides, and {', '.join(needing)} needs them; "
            "use predicted or dnsmos"
        )
    return names


def metric_names(text: str | None) -> list[str] | None:
    """Return the words of a list separated by commas; None for None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
