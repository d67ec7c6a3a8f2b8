"""Say how an optional part of the package is installed."""

from __future__ import annotations

from importlib import metadata


def install_command(extra: str) -> str:
    """Return the command that installs an extra, and where to run it.

    A package from an index has no record of where it came from (PEP 610); then its name is enough. One from
    a clone has, and the command is run in the clone.
    """
    try:
        from_index = metadata.distribution("sese").read_text("direct_url.json") is None
    except metadata.PackageNotFoundError:  # the source tree itself is on the path
        from_index = False
    return (
        f'run: pip install "sese[{extra}]"'
        if from_index
        else f'run in the clone of sese: pip install ".[{extra}]"'
    )
