"""`sese sweep FILE [key=value ...]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sese.cli.options import take_minutes


def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file: a configuration, seeds, runs.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Values for every run, over the file's: key.path=value, and max_minutes=N."),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Folder of the runs. [default: runs/NAME]")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Only tell what is done and what is left.")] = False,
) -> None:
    """Train many models: skips what is done, goes on with what was stopped. May be started several times."""
    from sese.cli.extras import require

    require("train", "torch", "lightning", "yaml")
    from sese.training.sweep import plan
    from sese.training.sweep import sweep as run

    changes, minutes = take_minutes(overrides)
    runs = plan(file, out_dir or Path("runs") / file.stem, changes)
    if show:
        for each in runs:
            typer.echo(f"{each.state:8}{each.folder}")
        return
    run(runs, minutes)
    left = sum(each.state != "done" for each in runs)
    typer.echo(f"{len(runs) - left} of {len(runs)} runs are done")
