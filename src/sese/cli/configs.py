"""`sese configs [NAME]`: the configurations that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sese.core.errors import InputError, did_you_mean


def configs(
    name: Annotated[
        str | None, typer.Argument(help="A configuration, as sese_2/base: print its file.")
    ] = None,
) -> None:
    """List the configurations for `sese train NAME`, `sese sweep NAME` and others, or print one."""
    found = described()
    if name is None:
        width = max(map(len, found))
        for each, line in found.items():
            typer.echo(f"{each:{width}}  {line}")
        return
    if name not in found:
        meant = did_you_mean(name, found)
        raise InputError(f"there is no configuration {name!r}; {meant}`sese configs` lists them")
    typer.echo((folder() / f"{name}.yaml").read_text(), nl=False)


def folder() -> Path:
    """Return the folder of the configurations."""
    return Path(__file__).parents[1] / "configs"


def described() -> dict[str, str]:
    """Return the name of each configuration and the line that describes it, in alphabetical order."""
    files = sorted(folder().rglob("*.yaml"), key=lambda path: path.relative_to(folder()).parts)
    return {
        path.relative_to(folder()).with_suffix("").as_posix(): path.read_text()
        .partition("\n")[0]
        .lstrip("# ")
        for path in files
    }
