"""`sese sweep FILE [key=value ...]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sese.cli.options import take_minutes


def sweep(
    file: Annotated[
        Path,
        typer.Argument(
            help="Sweep file (a configuration, seeds and runs), or a name such as sweeps/comparison."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Values for every run instead of the file's, as key.path=value, and max_minutes=N."
        ),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Folder of the runs.", show_default="runs/NAME")
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Only list which runs are done and which are left.")
    ] = False,
) -> None:
    """Train many models. Runs that are done are skipped, stopped ones continue; start it several times."""
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
