"""`sese models`."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from runtime.tiny_model import metadata, write_model
from sese.cli import models
from sese.cli.main import app
from sese.evaluation import speed
from sese.runtime import artefact

Run = Callable[..., Result]


@pytest.fixture
def sese(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, with the tiny model as the only bundled one."""
    monkeypatch.setattr(artefact, "PRETRAINED", tiny.parent)
    monkeypatch.setattr(speed, "clock", count().__next__)  # the levels of the tiny model take the same time
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return run


def test_list(sese: Run) -> None:
    ran = sese("models")
    assert ran.exit_code == 0
    row = next(line for line in ran.stdout.splitlines() if "tiny" in line)
    for word in ("(default)", "6.5 ms", "% to ", "+0.50", "A delay line"):
        assert word in row
    assert "Demonstrations" not in ran.stdout
    assert [model["name"] for model in json.loads(sese("models", "--json").stdout)] == ["tiny"]


def test_demonstrations_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(app, ["models"]).stdout.splitlines()
    assert lines[1].startswith("sese-2 (default) ")
    assert lines[2:4] == ["", "Demonstrations of published methods:"]
    assert lines[4].startswith("bloom-net ")
    assert not any(line.endswith("...") for line in lines), "nothing is cut off in a file or a pipe"


def test_a_list_is_as_wide_as_the_terminal(sese: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("name", "description"), ("tiny", "A delay line of many words " * 4)]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    lines = models._lines(rows)
    assert max(map(len, lines)) <= 60
    assert lines[1].endswith("...")


def test_list_of_nothing(sese: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefact, "PRETRAINED", tmp_path)
    assert "--model" in sese("models").stdout
    assert json.loads(sese("models", "--json").stdout) == []


def test_show(sese: Run, tiny: Path) -> None:
    for name in ("tiny", str(tiny), str(tiny / "model.onnx")):
        ran = sese("models", "show", name)
        assert ran.exit_code == 0
        for words in (
            "6.5 ms (104 samples)",
            "weights: CC0-1.0",
            "code: MIT",
            "pesq",
            "15.00",
            "noisy input",
        ):
            assert words in ran.stdout
    for words in (("show", "tiny", "--json"), ("--json", "show", "tiny")):
        facts = json.loads(sese("models", *words).stdout)
        assert facts["latency_ms"] == 6.5
        assert len(facts["levels"]) == 4


def test_show_quality_of_any_budget(sese: Run, tmp_path: Path) -> None:
    scores = {"fixed:0.5": 2.25, "1": 2.5, "auto": 2.375, "held:0.3": 2.125, "0.3": 2.2, "loud": 2.3}
    quality = {budget: {"pesq": score} for budget, score in scores.items()}
    write_model(tmp_path / "model.onnx", facts=metadata(quality=quality, router=True))
    rows = {
        line.split()[0]: line.split()
        for line in sese("models", "show", str(tmp_path)).stdout.splitlines()
        if line.strip()
    }
    times = {name: rows[name].pop(time) for name, time in (("0.5", 2), ("1", 2), ("0.25", 2), ("auto", 1))}
    assert all(time.endswith("%") for time in times.values())
    assert rows["0.5"] == ["0.5", "0.5", "500", "2.25"]
    assert rows["1"][-1] == "2.50"
    assert rows["0.25"] == ["0.25", "0.2", "250"]
    assert rows["auto"] == ["auto", "2.38"]
    assert rows["held:0.3"][-1] == "2.12"
    assert rows["0.3"][-1] == "2.20"
    assert rows["loud"] == ["loud", "2.30"], "no budget of this model, so it has no time"


def test_show_tells_of_a_router(sese: Run, tiny: Path, remembering: Path) -> None:
    number = "budget      a number runs the highest level within it: 0.6 runs 0.5\n"
    assert f"router      no\n{number}" in sese("models", "show", str(tiny)).stdout
    shown = sese("models", "show", str(remembering)).stdout
    assert f"router      yes, --budget auto: it chooses a level for each frame\n{number}" in shown


def test_show_tells_what_a_number_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for name, words in (
        ("demucs-slim-small", "a number runs the highest level within it: 0.6 runs 0.5"),
        (
            "sese-2",
            "a number runs the highest level whose mean, rests included, stays within it; "
            "below 0.25, the lowest",
        ),
        ("conv-fsenet-dyncp", "gates that choose channels: --budget 1 or auto"),
    ):
        assert words in CliRunner().invoke(app, ["models", "show", name]).stdout


def test_show_unknown(sese: Run) -> None:
    ran = sese("models", "show", "gpt")
    assert "unknown model 'gpt'; bundled are: tiny" in str(ran.exception)
