"""Checks of the command line that its tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Run


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
