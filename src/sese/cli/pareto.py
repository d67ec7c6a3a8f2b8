"""`sese pareto`: quality over compute and time, of several models and policies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sese.cli.options import number_or_word
from sese.core.errors import InputError, plain

if TYPE_CHECKING:
    from sese.evaluation.results import Evaluation


def pareto(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... DATA",
            help="Models (a name, a folder or an .onnx file) or reports of `sese evaluate`; at the end the"
            " folder with clean/ and noisy/, unless all are reports.",
            show_default=False,
        ),
    ],
    budget: Annotated[
        list[str] | None,
        typer.Option(
            "--budget",
            "-b",
            help="Budget of every model, see `sese enhance --help`; may be repeated.",
            show_default="every level, threshold policies, the router free, and at held:SHARE between levels",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Number of files to take, spread over the folder.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Number of processes; more than 1 makes the times less exact.", show_default="1"),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Metrics, separated by commas: pesq,stoi,estoi,si_sdr,dnsmos.", show_default="all"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out-dir", "-o", help="Folder for pareto.json, .csv, .md, .html and .png."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False,
) -> None:
    """Compare models, their levels and policies: the best quality for the compute, and for the time."""
    from sese.cli.extras import require
    from sese.evaluation import pareto_report, report
    from sese.evaluation.pareto import compare, is_evaluation, read_evaluation

    require("metrics", "matplotlib")
    if out is not None:
        report.make_folder(out)
    reports = [is_evaluation(each) for each in inputs]
    if not all(reports) and (len(inputs) < 2 or reports[-1]):
        raise InputError(
            "pareto: the last argument is not a folder with clean/ and noisy/; name one for the scores"
        )
    given = {"--budget": budget, "--limit": limit, "--jobs": jobs, "--metrics": metrics}
    if all(reports) and (unused := [name for name, value in given.items() if value is not None]):
        raise InputError(
            f"pareto: {', '.join(unused)} is for evaluating, and all inputs are reports already; leave it out"
        )
    models, data = (inputs, None) if all(reports) else (inputs[:-1], inputs[-1])
    results = []
    for number, model in enumerate(models):
        if reports[number]:
            results.append(read_evaluation(model))
        else:
            assert data is not None
            results.append(_evaluate(model, data, budget, limit, 1 if jobs is None else jobs, metrics))
            if out is not None:  # so that the next comparison can use it
                name = f"evaluation_{number + 1}"
                report.write_files(out, name, {"json": report.to_json(results[-1])})
    comparison = compare(results)
    text = report.to_json(comparison) if as_json else pareto_report.to_markdown(comparison)
    typer.echo(text if as_json else plain(text), nl=False)
    if out is not None:
        from sese.evaluation import plots

        contents: dict[str, str | bytes] = {
            "json": report.to_json(comparison),
            "csv": pareto_report.to_csv(comparison),
            "md": pareto_report.to_markdown(comparison),
            "html": pareto_report.to_html(comparison),
            "png": plots.to_png(plots.fronts(comparison), 130),
        }
        for path in report.write_files(out, "pareto", contents):
            typer.echo(f"wrote {path}", err=True)


def _evaluate(
    model: str, data: str, budgets: list[str] | None, limit: int | None, jobs: int, metrics: str | None
) -> Evaluation:
    from sese.cli.evaluate import metric_names, show
    from sese.evaluation.pairs import find_pairs
    from sese.evaluation.pareto import pareto_budgets
    from sese.evaluation.suite import evaluate
    from sese.runtime.artefact import open_artefact

    pairs = find_pairs(data, limit)
    tried = [number_or_word(text) for text in budgets or ()] or pareto_budgets(open_artefact(model).card)
    progress = show if sys.stderr.isatty() else None
    return evaluate(model, pairs, tried, metrics=metric_names(metrics), jobs=jobs, progress=progress)
