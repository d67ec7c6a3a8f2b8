"""Training of the small networks that support enhancement: they label speech and tell speakers apart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.training import run_folder
from sese.training.loop import Training, descend, run_steps
from sese.training.progress import Progress
from sese.training.run_folder import LAST, restoring
from sese.training.schedule import half_cosine

CLIP_NORM = 1.0


@dataclass(frozen=True)
class SmallTrainingConfig:
    """Settings of the training of a small network.

    Attributes:
        batch_size: number of clips in a step.
        steps: number of steps of AdamW.
        learning_rate: peak rate, reached after a twentieth of the steps; then a cosine falls to 0.
        weight_decay: weight decay of AdamW.
        validate_steps: number of steps between measurements on held-out clips, each with a checkpoint.
        validation_clips: number of clips, of held-out speakers.
    """

    batch_size: int = 32
    steps: int = 1500
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    validate_steps: int = 250
    validation_clips: int = 256

    def __post_init__(self) -> None:
        at_least(self, 1, "training", "batch_size", "steps", "validate_steps", "validation_clips")
        at_least(self, 0, "training", "weight_decay")
        above_zero(self, "training", "learning_rate")


def train_network(
    net: nn.Module,
    settings: SmallTrainingConfig,
    folder: Path,
    loss: Callable[[range], Tensor],
    validate: Callable[[], Mapping[str, float]],
    save: Callable[[Path], None],
    resume: bool = False,
    max_minutes: float | None = None,
) -> bool:
    """Train a network, or go on training it.

    The folder gets `metrics.jsonl`, `checkpoints/last.ckpt`, and two networks, `last/` and `best/`.

    Args:
        net: the network.
        settings: settings of the training.
        folder: folder of the run; it exists.
        loss: function from the numbers of a step's clips to a scalar.
        validate: function that returns measurements by name; `val/loss` chooses the best weights.
        save: function that writes the network into a folder.
        resume: whether to go on from the last checkpoint: weights, optimiser, schedule and clips.
        max_minutes: time limit in minutes, after which a checkpoint is written; None for no limit.

    Returns:
        Whether every step is done.
    """
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    training = _SmallTraining(net, settings, folder, loss, validate, save)
    done, every = training.restore() if resume else 0, settings.validate_steps
    training.progress = Progress(settings.steps, done, validate_steps=every, deadline=deadline)
    done = run_steps(training, done, settings.steps, every, max_minutes, training.progress)
    return done >= settings.steps


class _SmallTraining(Training):
    def __init__(
        self,
        net: nn.Module,
        settings: SmallTrainingConfig,
        folder: Path,
        loss: Callable[[range], Tensor],
        validate: Callable[[], Mapping[str, float]],
        save: Callable[[Path], None],
    ):
        self.net, self.settings, self.folder = net, settings, folder
        self.loss, self.validate, self.save = loss, validate, save
        self.optimiser = torch.optim.AdamW(
            net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.best, self.last_loss = math.inf, torch.tensor(math.nan)
        self.progress: Progress | None = None

    def restore(self) -> int:
        """Take up the last checkpoint; return the number of steps done."""
        with restoring(self.folder / LAST) as saved:
            self.net.load_state_dict(saved["net"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.best = saved["best"]
            return saved["step"]

    def step(self, number: int) -> Tensor:
        settings = self.settings
        warm_up = max(1, settings.steps // 20)
        rate = settings.learning_rate * min((number + 1) / warm_up, half_cosine(number / settings.steps))
        self.net.train()
        first = number * settings.batch_size
        value = self.loss(range(first, first + settings.batch_size))
        descend(value, self.optimiser, rate, CLIP_NORM)
        self.last_loss = value.detach()
        return self.last_loss

    def checkpoint(self, done: int, late: bool) -> None:
        self.net.eval()
        with torch.no_grad():
            facts = {"step": done, "train/loss": self.last_loss.item(), **self.validate()}
        text = "  ".join(f"{name} {fact:.4f}" for name, fact in facts.items() if name != "step")
        assert self.progress is not None
        self.progress.note(f"step {done}  {text}")
        run_folder.note(self.folder, facts)
        if facts["val/loss"] < self.best:
            self.best = facts["val/loss"]
            self.save(self.folder / "best")
        self.save(self.folder / "last")
        run_folder.write_checkpoint(
            self.folder,
            {
                "net": self.net.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": done,
                "best": self.best,
            },
        )
