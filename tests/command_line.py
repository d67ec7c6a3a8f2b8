"""The command line, run in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

from sese.cli.main import main


@dataclass
class Ran:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
"""Runs a command; see the fixture `sese`."""


def exit_code(*arguments: object) -> int:
    """Run `sese` with these arguments and return its exit code; signal handlers are restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with mock.patch.object(sys, "argv", ["sese", *map(str, arguments)]):
            main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
