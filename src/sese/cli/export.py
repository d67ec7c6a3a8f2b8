"""`sese export RUN -o OUTPUT`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sese.cli.options import number_or_word
from sese.core.errors import InputError


def export(
    run: Annotated[Path, typer.Argument(help="Run folder, model folder, or the name of a bundled model.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model folder to write; for --format gtcrn a file.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the model.", show_default="name of the output folder; its own with --quantize"
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Report folder of `sese evaluate`, for the card and the quality of the levels."),
    ] = None,
    notes: Annotated[
        Path | None, typer.Option(help="Markdown file for the card: data, licences, purpose.")
    ] = None,
    description: Annotated[
        str | None,
        typer.Option(
            help="One sentence about the model.", show_default="that of a model folder, or of the system"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace an existing model.")] = False,
    quantize: Annotated[
        str | None,
        typer.Option(
            help="Number format of the weights: fp16 or int8. The model is written only if no level is "
            "slower or loses more than 0.05 PESQ."
        ),
    ] = None,
    measure_on: Annotated[
        Path | None,
        typer.Option(help="Folder with clean/ and noisy/ speech for the measurements of --quantize."),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(min=1, help="Number of pairs to measure on.", show_default="24")
    ] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Format: sese, a model folder, or gtcrn, one .onnx file at one budget for sherpa-onnx.",
        ),
    ] = "sese",
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", "-b", help="Budget of --format gtcrn, as for `sese enhance`.", show_default="1"
        ),
    ] = None,
) -> None:
    """Export a trained model as one ONNX file with its card, and check it against PyTorch."""
    from sese.cli.extras import require

    require("train", "torch", "onnx", "onnxscript")
    if file_format == "gtcrn":
        if any((name, evaluation, notes, description, quantize, measure_on, clips)):
            raise InputError("--format gtcrn writes one file; only --output, --budget and --force go with it")
        from sese.export.gtcrn_format import export_gtcrn

        export_gtcrn(run, output, number_or_word(budget or "1"), force=force)
        return
    if file_format != "sese":
        raise InputError(f"--format is {file_format!r}; give sese or gtcrn")
    if budget is not None:
        raise InputError("--budget is for --format gtcrn; a model folder runs at any budget")
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
        raise InputError("--quantize needs speech for its measurements; name a folder with --measure-on")
    require("metrics", "pesq", "pystoi")
    from sese.export.quantise import export_quantised

    export_quantised(quantize, measure_on, 24 if clips is None else clips, run, output, force=force, **facts)
