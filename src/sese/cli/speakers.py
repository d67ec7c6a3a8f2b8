"""`sese speakers`: embeddings of speakers, groups of them, and who is given which expert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Embed and group speakers, and select experts for them.", no_args_is_help=True)

Corpora = Annotated[list[Path], typer.Argument(help="Corpus folders, as `sese data describe` takes them.")]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A configuration file, or with --resume a run folder.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Values to change: key.path=value, and max_minutes=N.")
    ] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/NAME]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Train a speaker embedding, or an autoencoder of speech. Stops cleanly after max_minutes=N; --resume goes on."""
    from sese.cli.extras import require, take_minutes

    require("train", "torch", "safetensors", "yaml")
    from sese.personalization import speaker_training
    from sese.training.run_folder import RESOLVED

    changes, minutes = take_minutes(overrides)
    if config.is_dir():
        config, run_dir = config / RESOLVED, run_dir or config
    resolved = speaker_training.read(config, changes)
    speaker_training.train(resolved, run_dir or Path("runs") / resolved.name, resume, minutes)
