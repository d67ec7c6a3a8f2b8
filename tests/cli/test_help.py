"""`sese --help` and its like: every verb has a panel and an example that can be typed, flags have no type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import sese as package
from cli.conftest import Run
from sese.cli.main import GROUPS, VERBS, app
from sese.cli.summary import duration


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb, and every verb of a group."""
    for name, below in getattr(command, "commands", {}).items():
        yield (*words, name), below
        yield from verbs(below, (*words, name))


ALL = [pytest.param(words, command, id=" ".join(words)) for words, command in verbs(get_command(app))]


@pytest.mark.parametrize(("words", "command"), ALL)
def test_example(words: tuple[str, ...], command: Any) -> None:
    """It belongs to the verb, and names options that there are."""
    example = shlex.split(command.epilog.removeprefix("Example: ").partition(" < ")[0])
    assert tuple(example[: 1 + len(words)]) == ("sese", *words)
    while getattr(command, "commands", None) and len(example) > 1 + len(words):
        words = (*words, example[1 + len(words)])
        command = command.commands[words[-1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in example if word.startswith("-")} <= known


@pytest.mark.parametrize(("words", "command"), ALL)
def test_help_reads(words: tuple[str, ...], command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = CliRunner().invoke(app, [*words, "--help"]).stdout
    assert "Example: sese" in shown
    assert "<bool>" not in shown
    for parameter in command.params:
        text = getattr(parameter, "help", None) or ""
        assert not text.startswith(("Of ", "What ", "That ", "Where ")), text
        assert "[default" not in text, "rich would take this for markup"


def test_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = CliRunner().invoke(app, ["--help"]).stdout
    places = [shown.index(f" {panel} ─") for panel in ("Enhance", "Measure", "Train", "Study")]
    assert places == sorted(places)
    assert all(f" {word} " in shown for word in (*VERBS, *GROUPS))
    assert "Show the help of sese" not in shown


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(sese: Run, word: str) -> None:
    ran = sese(word)
    assert (ran.code, ran.out) == (0, f"sese {package.__version__}\n")


def test_help_as_a_word(sese: Run) -> None:
    assert "--budget" in sese("help", "enhance").out
    assert "--min-snr" in sese("help", "data", "select").out
    assert "Enhance" in sese("help").out
    ran = sese("help", "nothing")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no help on 'nothing'" in ran.err


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "sese", "-V"], capture_output=True, text=True)
    assert done.stdout == f"sese {package.__version__}\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "less than 1 ms"), (0.0123, "0.012 s"), (0.5, "0.5 s"), (8, "8 s"), (12.3, "12 s"),
     (59.7, "1 min 0 s"), (192, "3 min 12 s"), (7260, "2 h 1 min")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["enhance"], "missing argument 'inputs'; see sese enhance -h"),
        (["enhance", "--nope", "a.wav"], "no such option: --nope (Possible options: --force, --model); "),
        (["enhance", "a.wav", "--jobs", "x"], "invalid value for '--jobs': "),
        (["enhance", "-dash.wav"], "no such option: -d; write the file -dash.wav as ./-dash.wav"),
        (["enhanc", "a.wav"], "no such command 'enhanc'. Did you mean 'enhance'? see sese -h"),
        (["models", "shw"], "no such command 'shw'. Did you mean 'show'? see sese models -h"),
    ],
)
def test_errors_of_usage_take_one_line(
    sese: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.wav").touch()
    ran = sese(*words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"sese: error: {error}")
