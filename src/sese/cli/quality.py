"""`sese quality`: label clips, train predictors of PESQ, test them, and write them for use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sese.cli.apps import App
from sese.cli.options import Changes, Resume, RunConfiguration, RunDir, run_of, take_minutes

app = App("Train and test predictors of speech quality.", no_args_is_help=True)

Config = Annotated[Path, typer.Argument(help="Configuration file.")]
Jobs = Annotated[
    int | None, typer.Option(help="Number of processes that make clips.", show_default="one per core")
]


@app.verb("label", "sese quality label predictor.yaml")
def label(config: Config, overrides: Changes = None, jobs: Jobs = None) -> None:
    """Make the clips of a configuration and score them with PESQ; the same command continues the work."""
    from sese.cli.extras import require

    require("train", "torch", "yaml")
    from sese.evaluation.parallel import job_count
    from sese.quality.clips import labelled
    from sese.quality.config import read

    changes, minutes = take_minutes(overrides)
    resolved = read(config, changes)
    pair = labelled(resolved, job_count(jobs, resolved.data.clips), minutes)
    typer.echo(
        "not all clips are labelled yet; run the command again" if pair is None else "all clips are labelled"
    )


@app.verb("train", "sese quality train predictor.yaml --run-dir runs/quality")
def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
    jobs: Jobs = None,
) -> None:
    """Label the clips and train a predictor. max_minutes=N stops it after N minutes; --resume continues."""
    from sese.cli.extras import require

    require("train", "torch", "safetensors", "yaml")
    from sese.evaluation.parallel import job_count
    from sese.quality.config import read
    from sese.quality.training import train as run

    changes, minutes = take_minutes(overrides)
    config, run_dir = run_of(config, run_dir)
    resolved = read(config, changes)
    folder = run_dir or Path("runs") / resolved.name
    run(resolved, folder, resume, minutes, job_count(jobs, resolved.data.clips))


@app.verb("compare", "sese quality compare noisy-set runs/quality -o report")
def compare(
    data: Annotated[
        Path, typer.Argument(help="Folder with clean/ and noisy/, of other speakers and noises.")
    ],
    runs: Annotated[list[Path], typer.Argument(help="Run folders; all are compared with the first.")],
    out: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Folder for quality.json, .md and .svg.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Number of files to take, spread over the folder.")
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Compare predictions with PESQ, for noisy files and for the output of each level of each model.

    The best network of a run is compared as it is, and with weights of 8 bits. The models are those of the
    first run's configuration.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors", "yaml")
    from sese.evaluation import plots, report
    from sese.evaluation.parallel import job_count
    from sese.quality.comparison import compare as run
    from sese.quality.comparison import to_figure, to_markdown

    if out is not None:
        report.make_folder(out)
    result = run(data, runs, limit, job_count(jobs, 10**6))
    text = to_markdown(result)
    typer.echo(text, nl=False)
    if out is not None:
        contents: dict[str, str | bytes] = {
            "json": report.to_json(result),
            "md": text,
            "svg": plots.to_svg(to_figure(result)),
        }
        for path in report.write_files(out, "quality", contents):
            typer.echo(f"wrote {path}", err=True)


@app.verb("export", "sese quality export runs/quality -o predictor")
def export(
    run: Annotated[Path, typer.Argument(help="Run folder of a predictor with binary activations.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the predictor to write.")],
) -> None:
    """Write a predictor with 8-bit weights: predictor.npz, which runs on packed bits, and predictor.onnx."""
    from sese.cli.extras import require

    require("train", "torch", "safetensors", "onnxscript")
    from sese.quality.exporting import export as write

    for path in write(run, output):
        typer.echo(f"wrote {path} ({path.stat().st_size:,} bytes)")
