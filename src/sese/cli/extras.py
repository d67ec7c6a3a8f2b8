"""Check that optional packages are installed."""

from __future__ import annotations

import importlib.util

from sese.core.errors import InputError
from sese.core.install import install_command


def require(extra: str, *modules: str) -> None:
    """Check that an extra's modules are installed.

    Raises:
        InputError: A module is missing; the message names the command that installs it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"this command needs {', '.join(missing)}; {install_command(extra)}")
