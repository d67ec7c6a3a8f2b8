"""A run stands for its model: exported into its folder at the first use, and again when weights change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch

from command_line import Run
from sese.cli import run_models
from sese.export import folder as exporting
from sese.nn import checkpoint
from sese.training.config import read
from training.tiny_run import DEBUG


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Folder of a run with a tiny network."""
    write(tmp_path / "runs" / "mine", 0)
    return tmp_path / "runs" / "mine"


def write(run: Path, seed: int, name: str = "best") -> None:
    config = read(DEBUG)
    torch.manual_seed(seed)
    checkpoint.save(run / name, config.system, config.model, config.model.build().state_dict())


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that were exported, by something quicker."""
    made: list[Path] = []

    def quickly(run: Path, output: Path, *, name: str, force: bool) -> None:
        source = run / "best" if (run / "best").exists() else run / "last"
        shutil.copytree(source, output, dirs_exist_ok=force)
        (output / "model.onnx").write_text(name)
        made.append(output)
        print("4 levels")

    monkeypatch.setattr(exporting, "export_folder", quickly)
    return made


def test_once_for_the_same_weights(
    run: Path, exports: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    exported = run / "exported"
    assert [run_models.usable(str(run)) for _ in range(2)] == [str(exported)] * 2
    assert exports == [exported]
    printed = capsys.readouterr()
    assert printed.out == "", "standard output is for results, and for audio"
    assert printed.err.splitlines() == [f"sese: exporting {run / 'best'} to {exported}, once", "4 levels"]
    write(run, 1)
    run_models.usable(str(run))
    (exported / "model.onnx").unlink()
    run_models.usable(str(run))
    assert len(exports) == 3


def test_the_last_weights_where_there_are_no_best(tmp_path: Path, exports: list[Path]) -> None:
    write(tmp_path / "run", 0, "last")
    assert run_models.usable(str(tmp_path / "run")) == str(tmp_path / "run" / "exported")
    write(tmp_path / "run", 0, "best")  # the same weights
    run_models.usable(str(tmp_path / "run"))
    assert len(exports) == 1


def test_what_is_no_run_stays_as_it_is(tmp_path: Path, tiny: Path, exports: list[Path]) -> None:
    for model in (None, "sese-2", str(tiny), str(tmp_path), "nowhere", "a" * 5000, "a\0b"):
        assert run_models.usable(model) == model
    assert exports == []


def test_commands_take_a_run(run: Path, noisy: Path, sese: Run, tmp_path: Path) -> None:
    """With a real export."""
    out = tmp_path / "out.wav"
    ran = sese("enhance", noisy, "-o", out, "--model", run)
    assert ran.code == 0, ran.err
    assert out.exists()
    assert "exporting" in ran.err
    for arguments in (("models", "show", run), ("profile", run, "--rounds", 1, "--json")):
        ran = sese(*arguments)
        assert ran.code == 0, ran.err
        assert "exporting" not in ran.err
        assert "mine" in ran.out
    ran = sese("enhance", noisy, "-o", tmp_path / "other.wav", "--model", tmp_path / "runs")
    assert ran.code == 2
    assert "holds no model.onnx" in ran.err


def test_weights_of_something_else_are_one_line(run: Path, noisy: Path, sese: Run) -> None:
    (run / "best" / "config.json").write_text('{"system": "labels"}')
    ran = sese("enhance", noisy, "-o", run / "out.wav", "--model", run)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert len([line for line in ran.err.splitlines() if line.startswith("sese: error:")]) == 1
