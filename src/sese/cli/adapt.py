"""`sese adapt`: adapt a model to one user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sese.core.errors import plain

if TYPE_CHECKING:
    from sese.adaptation.results import Report


def adapt(
    model: Annotated[
        Path, typer.Argument(help="Model to adapt: a bundled model, a model folder or a run folder.")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings to change, as key=value.")] = None,
    recordings: Annotated[
        Path,
        typer.Option(help="Folder with some minutes of noisy recordings of one speaker, or one such file."),
    ] = ...,  # type: ignore[assignment]
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write.")] = ...,  # type: ignore[assignment]
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Model to learn from: 'own' (the model's highest level), a bundled model, a model folder, a "
            "run folder, or an .onnx file.",
            show_default="own where the model has levels, else sese-2",
        ),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="Levels to adapt: 'low' (all but the highest), 'all', or a list such as 0.125,0.25, or 1,2 "
            "for experts. Other levels stay as they are.",
            show_default="low with the teacher 'own', else all",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings: a YAML file, or a name such as adaptation/default.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest mean loss of SI-SDR on other voices and noises, in dB.", show_default="1"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the held-out recordings and of the order.", show_default="0")
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Time in minutes after which learning stops, with the best result so far."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted adaptation.")] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace an existing or interrupted output.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Adapt a model to noisy recordings of one user; it learns from a larger model.

    No clean speech is needed, and nothing leaves this machine. The result is refused, with exit code 1 and
    nothing written, where it loses more than the tolerance on other voices and noises, or gains nothing.
    """
    import json

    from sese.cli.extras import require

    require("train", "torch", "lightning", "safetensors", "yaml", "onnx", "onnxscript")
    from sese.adaptation import adaptation
    from sese.adaptation.config import read

    settings = read(config, overrides or [], tolerance_db=tolerance, seed=seed)
    request = adaptation.Request(
        model, recordings, output, teacher, levels, settings, resume, force, max_minutes
    )
    report = adaptation.adapt(request, _tell)
    typer.echo(json.dumps(report, indent=2) if as_json else plain(_text(report)))
    if report["refused"]:
        print(f"sese: refused: {report['refused']}; nothing was written", file=sys.stderr)
        raise typer.Exit(1)


def _tell(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)


def _text(report: Report) -> str:
    found, cost = report["recordings"], report["cost"]
    lines = [
        f"{report['model']} on {found['files']} recordings, {found['learn_minutes']:.1f} minutes to learn "
        f"from, {found['held_out_minutes']:.1f} held out; teacher: {report['teacher']['name']}",
        f"cost    {cost['minutes']:.1f} minutes, {cost['steps']} steps, about {cost['macs'] / 1e12:.2f} TMAC"
        f"; ended: {report['ended']}; "
        f"{report['share']:.0%} of the way taken",
        "level   MMAC/s  SI-SDR to the teacher, held out    to clean speech, general set",
    ]
    for row, general in zip(report["levels"], report["general"]["levels"], strict=True):
        kept = "" if row["adapted"] else "  (kept: to itself)"
        lines.append(
            f"{row['name']:<6} {row['macs_per_second'] / 1e6:7.1f}  "
            f"{row['before_db']:6.2f} -> {row['after_db']:6.2f} dB{kept:<19}"
            f"{general['before_db']:6.2f} -> {general['after_db']:6.2f} dB"
        )
    if not report["refused"]:
        lines.append(f"wrote {report['name']}; try it: sese enhance talk.wav --model {report['name']}")
    return "\n".join(lines)
