"""Tables on a terminal: whole numbers at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sese.cli import screen

HEADER = ["level", "share of compute", "PESQ-WB", "STOI", "SI-SDR (dB)"]
ROWS = [["noisy\x1b[31m", "–", "1.46", "0.808", "7.0"], ["budget fixed:0.06", "6%", "1.78", "0.803", "10.6"]]


def shown(width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, markup=False)
    screen.show_table(console, HEADER, ROWS)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "parts"), [(120, 1), (52, 2), (30, 4)])
def test_wide_tables_are_parted_and_never_cut(width: int, parts: int) -> None:
    text = shown(width)
    assert text.count("budget fixed:0.06") == parts
    assert "…" not in text
    for cell in ("1.46", "0.808", "10.6", "6%"):
        assert text.count(cell) == 1
    assert max(map(len, text.splitlines())) <= width


def test_a_terminal_does_not_obey_names() -> None:
    assert "\x1b[31m" not in shown(100)
    assert "noisy\\x1b[31m" in shown(100)


def test_only_a_terminal_gets_tables_and_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen.terminal() is None
    with screen.counting("files") as progress:
        assert progress is None
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert screen.terminal() is not None
