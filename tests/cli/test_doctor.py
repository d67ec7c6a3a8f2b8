"""`sese doctor`: what a bug report needs, nothing private, whatever is broken."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from itertools import accumulate, count, cycle
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sese.cli import doctor
from sese.cli.main import app
from sese.core.install import install_command
from sese.evaluation import speed
from sese.runtime import artefact

Run = Callable[..., Result]
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def sese(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, with the tiny model as the only bundled one."""
    monkeypatch.setattr(artefact, "PRETRAINED", tiny.parent)
    monkeypatch.setattr(speed, "clock", count().__next__)  # the levels of the tiny model take the same time
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_doctor(sese: Run) -> None:
    ran = sese("doctor")
    assert ran.exit_code == 0
    for word in (
        "sese",
        "python",
        "numpy",
        "onnxruntime",
        "libsndfile",
        "soxr",
        "processor",
        "programs",
        "tiny",
        "all is well",
    ):
        assert word in ran.stdout
    report = json.loads(sese("doctor", "--json").stdout)
    assert report["ok"]
    assert set(report["models"][0]["real_time_factor"]) == {"0.125", "1"}
    assert all(report[part] for part in ("versions", "platform", "processor", "extras", "places"))
    assert report["extras"]["bitwise"]["numpy"] == report["versions"]["numpy"]
    assert all(report["missing"][extra] for extra in report["missing"])
    assert report["missing"].keys() <= report["extras"].keys()


def test_levels_in_the_wrong_order_have_no_time(sese: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is too busy the lowest level takes longer each time; the model works all the same."""
    turns = [5.0, 0.0, 1.0, 0.0]  # seconds of the lowest level, a pause, of the highest, a pause
    monkeypatch.setattr(speed, "clock", accumulate(cycle(turns), initial=0.0).__next__)
    ran = sese("doctor")
    assert ran.exit_code == 0
    assert "tiny: it runs; the machine is too busy to time it" in ran.stdout
    assert "real-time factor" not in ran.stdout
    assert json.loads(sese("doctor", "--json").stdout)["models"] == [{"name": "tiny", "real_time_factor": {}}]


def test_doctor_names_the_missing_extra(sese: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "metrics", ("no_such_module",))
    ran = sese("doctor")
    assert ran.exit_code == 0
    assert f"lacks no_such_module; {install_command('metrics')}" in ran.stdout


def test_doctor_finds_a_broken_model(sese: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.onnx").write_text("damaged")
    monkeypatch.setattr(artefact, "PRETRAINED", tmp_path)
    ran = sese("doctor", "--json")
    assert ran.exit_code == 1
    assert "bad/model.onnx" in json.loads(ran.stdout)["problems"][0]


def test_doctor_finds_no_model(sese: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefact, "PRETRAINED", tmp_path)
    ran = sese("doctor")
    assert ran.exit_code == 1
    assert "PROBLEM" in ran.stdout


def test_extras_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib")
    told = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    del told["dev"], told["all"]  # nothing of it is used by a command; all of the others
    names = {extra: {re.split(r"[\[>=<]", need)[0] for need in needs} for extra, needs in told.items()}
    assert {extra: set(packages) for extra, packages in doctor.EXTRAS.items()} == names


def test_nothing_private(sese: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "mallory"
    (home / ".cache" / "sese").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setattr(artefact, "PRETRAINED", home / "site-packages" / "pretrained")
    for name in doctor.NAMED:
        monkeypatch.setenv(name, "/srv/mallory/secret")
    for words in (["doctor"], ["doctor", "--json"]):
        told = sese(*words).stdout
        assert "~/site-packages/pretrained" in told
        assert "mallory" not in told
        assert "secret" not in told
        assert "$XDG_CACHE_HOME/sese" in told
    monkeypatch.setattr(artefact, "PRETRAINED", Path("/srv/mallory/pretrained"))
    assert "/srv/USER/pretrained" in sese("doctor").stdout


def test_without_any_extra(sese: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in doctor.CORE:
            raise metadata.PackageNotFoundError(name)
        return "2.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    ran = sese("doctor", "--json")
    assert ran.exit_code == 0
    report = json.loads(ran.stdout)
    assert report["missing"]["train"][0] == "torch"
    assert report["missing"].keys() == doctor.EXTRAS.keys() - {"bitwise"}
    assert set(report["extras"]["train"].values()) == {None}


def test_what_a_machine_does_not_tell(sese: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("not on this machine")

    pieces = ("_processor", "_places")
    for piece in pieces:
        monkeypatch.setattr(doctor, piece, broken)
    for words in (["doctor"], ["doctor", "--json"]):
        ran = sese(*words)
        assert ran.exit_code == 0
        assert ran.stdout.count("unknown (not on this machine)") == len(pieces)


def test_a_broken_library(sese: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name == "onnxruntime":
            raise OSError("libonnxruntime.so: wrong architecture")
        return object()

    monkeypatch.setattr(doctor.importlib, "import_module", load)
    ran = sese("doctor", "--json")
    assert ran.exit_code == 1
    (problem,) = json.loads(ran.stdout)["problems"]
    assert "wrong architecture" in problem
    assert "pip install --force-reinstall onnxruntime" in problem
