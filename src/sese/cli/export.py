"""`sese export RUN -o DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sese.core.errors import InputError


def export(
    run: Annotated[Path, typer.Argument(help="A run folder, or a model folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to write.")],
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the model. [default: the output folder's; of a model folder quantised, its own]"
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Report folder of `sese evaluate`, for the card and the levels' quality."),
    ] = None,
    notes: Annotated[
        Path | None, typer.Option(help="Markdown for the card: data, licences, what it is for.")
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="One sentence on the model. [default: the system's]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model.")] = False,
    quantize: Annotated[
        str | None,
        typer.Option(
            help="fp16 or int8: weights in it, written if no level is slower or loses over 0.05 PESQ."
        ),
    ] = None,
    measure_on: Annotated[
        Path | None,
        typer.Option(help="Folder with clean/ and noisy/ speech that --quantize is measured on."),
    ] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="Pairs of it to take. Default: 24.")] = None,
) -> None:
    """Export a trained model as one ONNX file with its card, checked against PyTorch."""
    from sese.cli.extras import require

    require("train", "torch", "onnx", "onnxscript")
    facts: dict[str, Any] = {
        "name": name,
        "evaluation": evaluation,
        "notes": notes,
        "description": description,
    }
    if quantize is None:
        if measure_on is not None or clips is not None:
            raise InputError("--measure-on and --clips are for --quantize; name fp16 or int8 with it")
        from sese.export.folder import export_folder

        export_folder(run, output, force=force, **facts)
        return
    if measure_on is None:
        raise InputError("--quantize needs speech to measure on; name a folder with --measure-on")
    require("metrics", "pesq", "pystoi")
    from sese.export.quantise import export_quantised

    export_quantised(quantize, measure_on, 24 if clips is None else clips, run, output, force=force, **facts)
