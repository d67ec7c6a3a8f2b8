"""The command line as a fixture."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sese.cli.main import main


@dataclass
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def sese(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["sese", *map(str, arguments)])
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(sese: Run, tiny: Path) -> Callable[..., str]:
    """Run `sese enhance` on what must be refused: exit code 2, one line, and no new files."""

    def run(folder: Path, *arguments: object, model: object = tiny) -> str:
        before = sorted(folder.rglob("*"))
        ran = sese("enhance", *arguments, "--model", model)
        assert ran.code == 2, ran
        assert ran.out == ""
        assert ran.err.startswith("sese: error: ")
        assert ran.err.count("\n") == 1, ran.err
        assert ";" in ran.err, "a remedy follows the problem"
        assert "Traceback" not in ran.err
        assert sorted(folder.rglob("*")) == before
        return ran.err

    return run
