"""A run that trains a small network: its folder, its stops and its resumes."""

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
from sese.training.run_folder import LAST, restoring


@dataclass(frozen=True)
class FittingConfig:
    """How to train.

    Attributes:
        batch_size: clips a step.
        steps: of AdamW.
        learning_rate: at its peak, after a twentieth of the steps; then a cosine falls to 0.
        weight_decay: of AdamW.
        validate_steps: how often the held-out clips are scored, and a checkpoint is written.
        validation_clips: of speakers that are held out.
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


def fit(
    net: nn.Module,
    settings: FittingConfig,
    folder: Path,
    loss: Callable[[range], Tensor],
    validate: Callable[[], Mapping[str, float]],
    save: Callable[[Path], None],
    resume: bool = False,
    max_minutes: float | None = None,
) -> bool:
    """Train, or go on training.

    The folder gets `metrics.jsonl`, `checkpoints/last.ckpt`, and two networks, `last/` and `best/`.

    Args:
        net: the network.
        settings: how.
        folder: of the run; there already.
        loss: numbers of a step's clips -> a scalar.
        validate: what is measured by name; `val/loss` chooses the best weights.
        save: writes the network into a folder.
        resume: go on from the last checkpoint: weights, optimiser, schedule and clips.
        max_minutes: stop cleanly with a checkpoint after this long.

    Returns:
        Whether every step is done.
    """
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    warm_up = max(1, settings.steps // 20)

    def factor(step: int) -> float:
        return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    done, best = 0, math.inf
    if resume:
        with restoring(folder / LAST) as held:
            net.load_state_dict(held["net"])
            optimiser.load_state_dict(held["optimiser"])
            schedule.load_state_dict(held["schedule"])
            done, best = held["step"], held["best"]
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    while done < settings.steps:
        net.train()
        first = done * settings.batch_size
        value = loss(range(first, first + settings.batch_size))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        done += 1
        stop = deadline is not None and time.monotonic() > deadline
        if stop or done == settings.steps or done % settings.validate_steps == 0:
            net.eval()
            with torch.no_grad():
                facts = {"step": done, "train/loss": value.item(), **validate()}
            text = "  ".join(f"{name} {fact:.4f}" for name, fact in facts.items() if name != "step")
            print(f"step {done}  {text}", flush=True)
            run_folder.note(folder, facts)
            if facts["val/loss"] < best:
                best = facts["val/loss"]
                save(folder / "best")
            save(folder / "last")
            held = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": done, "best": best}
            run_folder.write_checkpoint(folder, {**held, "schedule": schedule.state_dict()})
        if stop:
            break
    return done >= settings.steps
