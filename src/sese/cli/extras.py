"""Optional parts: a clear word where one is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from sese.errors import InputError


def require(extra: str, *modules: str) -> None:
    """Check that an extra's modules are installed.

    Raises:
        InputError: names what is missing and the command that installs it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f'this command needs {", ".join(missing)}; run: pip install "sese[{extra}]"')


def run_of(config: Path, run_dir: Path | None) -> tuple[Path, Path | None]:
    """The configuration file and the run folder, where a run folder may stand for its configuration."""
    from sese.training.run_folder import RESOLVED

    return (config / RESOLVED, run_dir or config) if config.is_dir() else (config, run_dir)


def take_minutes(overrides: Sequence[str] | None) -> tuple[list[str], float | None]:
    """Part `max_minutes=N` from the overrides of a configuration.

    Raises:
        InputError: N is no number.
    """
    changes = list(overrides or [])
    minutes = None
    for change in [c for c in changes if c.startswith("max_minutes=")]:
        changes.remove(change)
        try:
            minutes = float(change.removeprefix("max_minutes="))
        except ValueError:
            raise InputError(f"{change}: give a number of minutes") from None
    return changes, minutes
