"""Trainings of small networks over examples in memory: how they begin, resume, and what they write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from sese.training import run_folder
from sese.training.config_file import dump
from sese.training.loop import Training, run_steps
from sese.training.process import prepare
from sese.training.run_folder import LAST

Data = TypeVar("Data")


class InMemoryTraining(Training):
    """Base of a training at some step, with one network and one optimiser.

    Args:
        folder: Folder of the run.
        network: The network.
        optimiser: Optimiser of its weights.
        best: Worst score that there is; scores that are better replace it.
    """

    def __init__(self, folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, best: float):
        self.folder, self.network, self.optimiser = folder, network, optimiser
        self.done, self.best, self.losses, self.since = 0, best, [0.0, 0], time.monotonic()

    def restore(self) -> None:
        """Take up what `write_checkpoint` wrote."""
        with run_folder.restoring(self.folder / LAST) as saved:
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.done, self.best = saved["step"], saved["best"]

    def write_checkpoint(self) -> None:
        """Write what a resumed training starts from."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.done,
            "best": self.best,
        }
        run_folder.write_checkpoint(self.folder, state)

    def count(self, loss: float) -> None:
        """Count a step and its loss."""
        self.done += 1
        self.losses = [self.losses[0] + loss, self.losses[1] + 1]

    def mean_loss(self) -> float:
        """Return the mean loss of the steps since the last call."""
        total, count = self.losses
        self.losses = [0.0, 0]
        return total / count

    def log(self, values: Mapping[str, float], decimals: int) -> None:
        """Print values, with so many decimals, and the time since the last call; note them in the folder."""
        seconds, self.since = time.monotonic() - self.since, time.monotonic()
        text = "  ".join(f"{name} {value:.{decimals}f}" for name, value in values.items())
        print(f"step {self.done}  {text}  ({seconds:.0f} s)", flush=True)
        run_folder.note(self.folder, {"step": self.done, **values})


def train_in_memory(
    config: Any,
    folder: Path,
    resume: bool,
    max_minutes: float | None,
    data: Callable[[], Data | None],
    begin: Callable[[Data], InMemoryTraining],
) -> bool:
    """Train, or go on training; the data are computed first.

    Args:
        config: Configuration of the run, whose section `training` has threads, steps and validate_steps.
        folder: Folder of the run.
        resume: Go on from the last checkpoint.
        max_minutes: Stop cleanly after this long, computing the data included.
        data: Returns the examples; None where the time was up.
        begin: Returns the training at its first step, for the examples.

    Returns:
        Whether every step is done.

    Raises:
        InputError: A run lies there and is not to be resumed, or nothing lies there to resume.
    """
    run_folder.check(folder, config, resume)
    started, settings = time.monotonic(), config.training
    prepare(settings.threads)
    found = data()
    if found is None:
        return False
    run = begin(found)
    if resume:
        run.restore()
    run_folder.write_config(folder, dump(config))
    left = None if max_minutes is None else max_minutes - (time.monotonic() - started) / 60
    return bool(run_steps(run, run.done, settings.steps, settings.validate_steps, left) == settings.steps)
