"""Loggers of a run: TensorBoard or none, and Weights & Biases where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from command_line import Run
from sese.core.errors import InputError
from sese.training import loggers
from sese.training.config_file import as_yaml
from sese.training.resolved import values_in_use
from sese.training.run import train
from training.tiny_run import DEBUG, SMALLER, config

# Lightning's own use of what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_tensorboard_is_the_default_and_may_be_left_out(tmp_path: Path) -> None:
    assert [type(each) for each in loggers.loggers(config(), tmp_path)] == [
        loggers.JsonLines,
        TensorBoardLogger,
    ]
    assert [type(each) for each in loggers.loggers(config("training.logger=[]"), tmp_path)] == [
        loggers.JsonLines
    ]


def test_bad_names_and_a_missing_package_are_one_line(
    tmp_path: Path, sese: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "wandb" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    for value, said in (
        ("wandb", "run: pip install wandb"),
        ("tb", "names 'tb'; choose"),
        ("3", "logger is 3"),
    ):
        ran = sese("train", DEBUG, *SMALLER, f"training.logger={value}", "--run-dir", tmp_path / "run")
        assert ran.code == 2, value
        assert ran.err.count("\n") == 1, ran.err
        assert said in ran.err
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_start_there_is_one_line() -> None:
    class Refusing(loggers.WandbLogger):
        def __init__(self) -> None: ...

        @property
        def experiment(self) -> Any:
            raise RuntimeError("No API key\nconfigured")

    told = r"Weights & Biases cannot start \(No API key\); run `wandb login`"
    with pytest.raises(InputError, match=told), loggers.wandb_run([Refusing()]):
        pass


def test_wandb_offline_gets_the_measurements_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    settings = config("training.logger=[wandb]", "training.steps=2", "training.validate_steps=2")
    train(settings, tmp_path / "run", max_minutes=0)
    train(settings, tmp_path / "run", resume=True)
    folders = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    name = (tmp_path / "run" / loggers.WANDB_ID).read_text()
    assert folders
    assert all(folder.name.endswith(name) for folder in folders), "it is one run there"
    assert "wandb sync" in capsys.readouterr().out
    assert not (tmp_path / "run" / "tensorboard").exists()
    sent = b"".join(file.read_bytes() for folder in folders for file in folder.glob("*.wandb"))
    assert b"train/loss" in sent
    assert b"val/score" in sent


def test_the_values_that_wandb_gets_are_plain() -> None:
    assert as_yaml(values_in_use(config()))
