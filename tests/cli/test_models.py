"""`sese models`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from runtime.tiny_model import metadata, write_model
from sese.cli.main import app
from sese.runtime import artefact

Run = Callable[..., Result]


@pytest.fixture
def sese(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, with the tiny model as the only bundled one."""
    monkeypatch.setattr(artefact, "PRETRAINED", tiny.parent)
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
    monkeypatch.setenv("COLUMNS", "100")
    lines = CliRunner().invoke(app, ["models"]).stdout.splitlines()
    assert lines[1].startswith("sese-2 (default) ")
    assert lines[2].startswith("sese-1 ")
    apart = lines.index("Demonstrations of published methods:")
    assert lines[apart + 1].startswith("bloom-net ")
    assert max(map(len, lines)) <= 100


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
    quality = {"fixed:0.5": {"pesq": 2.25}, "1": {"pesq": 2.5}, "auto": {"pesq": 2.375}}
    write_model(tmp_path / "model.onnx", facts=metadata(quality=quality, router=True))
    rows = {
        line.split()[0]: line.split()
        for line in sese("models", "show", str(tmp_path)).stdout.splitlines()
        if line.strip()
    }
    assert rows["0.5"] == ["0.5", "0.5", "500", "2.25"]
    assert rows["1"][-1] == "2.50"
    assert rows["0.25"] == ["0.25", "0.2", "250"]
    assert rows["budget"] == ["budget", "auto", "2.38"]


def test_show_tells_of_a_router(sese: Run, tiny: Path, remembering: Path) -> None:
    assert "router      no\n" in sese("models", "show", str(tiny)).stdout
    assert "router      yes: --budget auto" in sese("models", "show", str(remembering)).stdout


def test_show_unknown(sese: Run) -> None:
    ran = sese("models", "show", "gpt")
    assert "unknown model 'gpt'; bundled are: tiny" in str(ran.exception)
