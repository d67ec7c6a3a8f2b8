"""`sese export RUN -o DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model. [default: the output folder's]")
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Report folder of `sese evaluate`, for the card and the levels' quality."),
    ] = None,
    notes: Annotated[
        Path | None, typer.Option(help="Markdown for the card: data, licences, what it is for.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model.")] = False,
) -> None:
    """Export a trained model as one ONNX file with its card, checked against PyTorch."""
    from sese.cli.extras import require

    require("train", "torch", "onnx", "onnxscript")
    from sese.export.folder import export_folder

    export_folder(run, output, name=name, evaluation=evaluation, notes=notes, force=force)
