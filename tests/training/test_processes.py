"""Runs in processes of their own: killed, and two at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sese.training.config_file import dump
from sese.training.run import train
from training.tiny_run import assert_same_checkpoints, checkpoint_of, config

# Lightning's own use of what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


DRIVER = """
import json, os, signal, sys
from pathlib import Path

import torch
from sese.data.mixing import Mixer
from sese.training.config import read
from sese.training.run import Keeper, train

folder, kill_at, resume = Path(sys.argv[1]), int(sys.argv[2]), "resume" in sys.argv
rank = os.environ.get("LOCAL_RANK", 0)
mix, end = Mixer.__call__, Keeper.on_train_batch_end

def noted(self, indices, snr_db=None):
    if snr_db is None:  # not the validation set
        with (folder / f"order.{rank}").open("a") as file:
            file.write(json.dumps(list(indices)) + "\\n")
    return mix(self, indices, snr_db)

def killed(self, trainer, *arguments):
    end(self, trainer, *arguments)
    if trainer.global_step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.save(arguments[0].state_dict(), folder / f"weights.{rank}")

Mixer.__call__, Keeper.on_train_batch_end = noted, killed
train(read(folder / "driven.yaml"), folder / "run", resume)
"""


def drive(folder: Path, *overrides: str, kill_at: int = 0, resume: bool = False) -> int:
    """Train in a process of its own; notes the examples of each rank. Returns the exit code."""
    (folder / "driven.yaml").write_text(dump(config(*overrides)))
    script = folder / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, str(script), str(folder), str(kill_at), *(["resume"] if resume else [])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        pytest.fail(done.stderr[-3000:])
    return done.returncode


def order_of(folder: Path, rank: int) -> list[list[int]]:
    return [json.loads(line) for line in (folder / f"order.{rank}").read_text().splitlines()]


def gradient_norms(run: Path) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["train/gradient_norm"] for line in lines if "train/loss" in line]


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path):
    assert drive(tmp_path, kill_at=5) == -signal.SIGKILL
    assert checkpoint_of(tmp_path / "run")["/global_step"] == 3, "two steps are lost"
    train(config(), tmp_path / "run", resume=True)
    train(config(), tmp_path / "whole")
    assert_same_checkpoints(tmp_path / "run", tmp_path / "whole")
    for name in ("last/model.safetensors", "last/config.json", "config.yaml"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path):
    settings = ("training.steps=3", "training.devices=2", "training.strategy=ddp")
    assert drive(tmp_path, *settings) == 0
    for rank in (0, 1):  # process `rank` takes in step n the batch n * 2 + rank; one batch is made ahead
        expected = [[(step * 2 + rank) * 2, (step * 2 + rank) * 2 + 1] for step in range(4)]
        assert order_of(tmp_path, rank)[:3] == expected[:3]
        assert order_of(tmp_path, rank)[3:] in ([], expected[3:])
    weights = [torch.load(tmp_path / f"weights.{rank}", weights_only=True) for rank in (0, 1)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    # What the processes agree on is the gradient of the whole batch.
    train(config("training.steps=3", "training.batch_size=4"), tmp_path / "one")
    assert gradient_norms(tmp_path / "run") == pytest.approx(gradient_norms(tmp_path / "one"), rel=1e-3)
    assert (tmp_path / "run" / "best" / "model.safetensors").exists()


@pytest.mark.slow
def test_two_processes_killed_and_resumed(tmp_path: Path):
    settings = ("training.devices=2", "training.strategy=ddp", "training.method=random_level")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    assert drive(tmp_path / "whole", *settings) == 0
    assert drive(tmp_path / "killed", *settings, kill_at=5) == -signal.SIGKILL
    assert drive(tmp_path / "killed", *settings, resume=True) == 0
    assert_same_checkpoints(tmp_path / "killed" / "run", tmp_path / "whole" / "run")
    for rank in (0, 1):
        whole, killed = (order_of(tmp_path / name, rank) for name in ("whole", "killed"))
        assert killed[-3:] == whole[-3:]
