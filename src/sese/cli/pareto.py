"""`sese pareto`: quality over compute and time, of several models and policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sese.cli.options import number_or_word
from sese.cli.run_models import usable
from sese.cli.screen import counting, show_table, terminal
from sese.core.errors import InputError, plain

if TYPE_CHECKING:
    from rich.console import Console

    from sese.evaluation.results import Comparison, Evaluation


def pareto(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... DATA",
            help="Models (a name, a folder, an .onnx file or a run) or reports of `sese evaluate`; at the end"
            " the folder with clean/ and noisy/, unless all are reports.",
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
    console = None if as_json else terminal()
    if console is None:
        text = report.to_json(comparison) if as_json else pareto_report.to_markdown(comparison)
        typer.echo(text if as_json else plain(text), nl=False)
    else:
        _show(console, comparison)
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


def _show(console: Console, comparison: Comparison) -> None:
    """Print the verdict, the points and the gains of policies on a terminal."""
    from sese.evaluation import pareto_report, verdict

    console.print(verdict.of_comparison(comparison))
    show_table(console, *pareto_report.point_table(comparison), fixed=2)
    header, gains = pareto_report.gain_table(comparison)
    if gains:
        console.print(f"{pareto_report.GAIN}, with 95% intervals")
        show_table(console, header, gains, fixed=2)
    console.print(pareto_report.about(comparison), style="dim")


def _evaluate(
    model: str, data: str, budgets: list[str] | None, limit: int | None, jobs: int, metrics: str | None
) -> Evaluation:
    from sese.cli.evaluate import metric_names
    from sese.evaluation.pairs import find_pairs
    from sese.evaluation.pareto import pareto_budgets
    from sese.evaluation.suite import evaluate
    from sese.runtime.artefact import open_artefact

    pairs, place = find_pairs(data, limit), usable(model)
    tried = [number_or_word(text) for text in budgets or ()] or pareto_budgets(open_artefact(place).card)
    with counting(f"{plain(model)}: files") as progress:
        result = evaluate(place, pairs, tried, metrics=metric_names(metrics), jobs=jobs, progress=progress)
    result["model"] = model
    return result
