"""`sese profile`: time and memory of a model on this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sese.cli.options import model_names
from sese.cli.run_models import usable


def profile(
    model: Annotated[
        str,
        typer.Argument(
            help="Name of a model, or path of a model folder, an .onnx file or a run.",
            autocompletion=model_names,
        ),
    ],
    rounds: Annotated[int, typer.Option(help="Number of frames to time at each budget.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False,
) -> None:
    """Measure time and memory of a model on this machine, with one thread: each level, auto, 0.3, 0.125."""
    from sese.evaluation import timing

    result = timing.profile(usable(model), rounds)
    typer.echo(json.dumps(result, indent=2) if as_json else timing.to_text(result).rstrip())
