"""`sese cache`: show and clear the folder of data that can be computed or downloaded again."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from sese.cli.apps import App

app = App("Show the cache folder and its size, or clear it.")


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """Show the cache folder and its size, or clear it."""
    if context.invoked_subcommand is not None:
        return
    from sese.core.cache import cache_folder, kept_files

    kept = kept_files()
    print(f"{cache_folder()}  {size([path for paths in kept.values() for path in paths])}")
    for kind, paths in kept.items():
        print(f"{size(paths):>12}  {kind} ({len(paths)} {'file' if len(paths) == 1 else 'files'})")
    if kept:
        print("sese cache clear removes these files; what needs them computes or downloads them again")


@app.verb("clear", "sese cache clear --dry-run")
def clear(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")
    ] = False,
) -> None:
    """Remove the files that sese keeps in the cache folder, and nothing else.

    What needs them computes or downloads them again. Do not run it while a training runs.
    """
    from sese.core.cache import cache_folder, kept_files, remove
    from sese.core.errors import remedy

    kept = kept_files()
    files = [path for paths in kept.values() for path in paths]
    shown = f"{size(files)} in {len(files)} files from {cache_folder()}"
    if dry_run:
        print("\n".join([*map(str, files), f"would remove {shown}"]))
        return
    print(f"removing {shown}", flush=True)
    errors = remove(files)
    if errors:
        error = errors[0]
        print(
            f"sese: error: {len(errors)} of {len(files)} files stay, such as {error.filename} "
            f"({error.strerror}); {remedy(error)}",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    print("done")


def size(paths: Iterable[Path]) -> str:
    """Return the size of files in MB."""
    return f"{sum(path.stat().st_size for path in paths) / 1e6:,.1f} MB"
