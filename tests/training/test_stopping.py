"""Runs that a signal or a time limit stops: a checkpoint always, no traceback, and nothing lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sese.core.stopping import StopRequest
from sese.training.data import MixtureData
from sese.training.keeper import Keeper
from sese.training.loop import Training, run_steps
from sese.training.run import train
from sese.training.task import EnhancementTask
from training.tiny_run import SMALLER, assert_same_checkpoints, checkpoint_of, config

# Lightning's own use of what PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Signals that reach what handled them before a training."""
    numbers: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda number, _: numbers.append(number))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def signal_in(monkeypatch: pytest.MonkeyPatch, step: str, at: int, number: int) -> None:
    """Let a signal come in the call `at` of a function of the task."""
    whole, calls = getattr(EnhancementTask, step), [0]

    def with_signal(self: EnhancementTask, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            signal.raise_signal(number)
        return whole(self, *arguments)

    monkeypatch.setattr(EnhancementTask, step, with_signal)


def scores_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "val/score" in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_first_step_leaves_a_checkpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heard: list[int],
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    with monkeypatch.context() as patch:
        signal_in(patch, "training_step", 1, number)
        assert not train(config(), tmp_path / "run")
    assert heard == [number], "the signal was sent on"
    assert checkpoint_of(tmp_path / "run")["/global_step"] == 1
    assert not (tmp_path / "run" / "best").exists(), "there was no time for a validation"
    printed = capfd.readouterr()
    assert "stopping after this step" in printed.err
    assert "stopped at step 1 of 6" in printed.out
    assert f"go on:    sese train {tmp_path / 'run'} --resume\n" in printed.out
    train(config(), tmp_path / "run", resume=True)
    train(config(), tmp_path / "whole")
    assert_same_checkpoints(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_recordings_are_decoded_ends_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heard: list[int],
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """Decoding a large corpus takes minutes, and no step is there yet that a checkpoint could keep."""

    def stop(*_: object) -> None:
        raise SystemExit(128 + number)

    def decode(_: MixtureData) -> None:
        signal.raise_signal(number)
        pytest.fail("decoding went on after the signal")

    signal.signal(number, stop)
    monkeypatch.setattr(MixtureData, "_read", decode)
    with pytest.raises(SystemExit) as stopped:
        train(config(), tmp_path / "run")
    assert stopped.value.code == 128 + number
    assert "after this step" not in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(number) is stop


def test_a_signal_in_a_validation_leaves_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[int]
) -> None:
    """With the weights of the training, not with the averages that are validated."""
    many = ("data.validation_clips=40",)  # three batches
    with monkeypatch.context() as patch:
        signal_in(patch, "validation_step", 2, signal.SIGTERM)
        train(config(*many), tmp_path / "run")
    assert heard == [signal.SIGTERM]
    assert checkpoint_of(tmp_path / "run")["/global_step"] == 3
    assert scores_of(tmp_path / "run") == []
    train(config(*many), tmp_path / "run", resume=True)
    train(config(*many), tmp_path / "whole")
    assert [line["step"] for line in scores_of(tmp_path / "run")] == [5]
    assert scores_of(tmp_path / "run")[0] == scores_of(tmp_path / "whole")[1]
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "run" / "last" / name).read_bytes() == (
            tmp_path / "whole" / "last" / name
        ).read_bytes()


def test_the_loop_without_lightning_stops_with_a_checkpoint(heard: list[int]) -> None:
    done: list[object] = []

    class Interrupted(Training):
        def step(self, number: int) -> None:
            if number == 1:
                signal.raise_signal(signal.SIGINT)

        def checkpoint(self, steps: int, late: bool) -> None:
            done.append((steps, late))

    assert run_steps(Interrupted(), 0, 9, every=5) == 2
    assert done == [(2, True)]
    assert heard == [signal.SIGINT]


def test_a_second_interrupt_goes_through_at_once(heard: list[int]) -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert heard == []
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
        assert stop.number == signal.SIGTERM
        stop.number = 0


def test_time_for_the_last_validation_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which each training step takes 10 s, and each batch of a validation 60 s."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(step: str, seconds: float) -> None:
        whole = getattr(EnhancementTask, step)

        def slower(self: EnhancementTask, batch: Any, *arguments: Any) -> Any:
            now[0] += seconds * len(batch.noisy) / 2
            return whole(self, batch, *arguments)

        monkeypatch.setattr(EnhancementTask, step, slower)

    slow("training_step", 10)
    slow("validation_step", 60)
    settings = config("training.steps=1000", "training.validate_steps=1000", "training.checkpoint_steps=1000")
    assert not train(settings, tmp_path, max_minutes=10)
    # 120 s to find out how long a validation takes, steps, 60 s for the validation.
    assert checkpoint_of(tmp_path)["/global_step"] == pytest.approx((600 - 120 - 66) / 10, abs=1)
    assert len(scores_of(tmp_path)) == 1
    assert 580 <= now[0] <= 600


def test_the_estimate_of_a_validation_changes_nothing(tmp_path: Path) -> None:
    settings = config("training.method=random_level", "training.steps=3")
    train(settings, tmp_path / "free")
    train(settings, tmp_path / "limited", max_minutes=60)
    assert_same_checkpoints(tmp_path / "free", tmp_path / "limited")


def started(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start a long training in a process of its own, and wait for its first step."""
    command = [sys.executable, "-m", "sese", "train", "debug", *SMALLER, *overrides, "training.steps=100000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, "training.validate_steps=100000", "--run-dir", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 1 of"):
            return process
    pytest.fail(process.communicate()[1][-3000:])


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "told to stop")]
)
def test_the_command_stops_in_words(tmp_path: Path, number: int, code: int, said: str) -> None:
    process = started(tmp_path / "run")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in out + err
    assert err.strip().splitlines() == [
        "stopping after this step, with a checkpoint (Ctrl-C again: at once, without)",
        f"sese: {said}",
    ]
    assert f"sese train {tmp_path / 'run'} --resume" in out
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("to_all", [True, False])
def test_two_processes_stop_together(tmp_path: Path, to_all: bool) -> None:
    """Ctrl-C goes to both; a scheduler's SIGTERM to the first alone."""
    process = started(tmp_path / "run", "training.devices=2", "training.strategy=ddp")
    if to_all:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == (130 if to_all else 143)
    assert "Traceback" not in out + err, err
    assert out.count("go on:") == 1
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] >= 1


def test_the_state_of_a_run_is_that_of_before(tmp_path: Path) -> None:
    """Read the state that a version without progress has saved."""
    keeper = Keeper(config(), tmp_path, StopRequest(), None)
    keeper.load_state_dict({"audio_seconds": 7.0})
    assert keeper.state_dict() == {"audio_seconds": 7.0}
