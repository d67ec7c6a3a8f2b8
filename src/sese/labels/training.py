"""A run that trains a network that labels speech: its folder, its stops and its resumes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.errors import InputError
from sese.labels.data import LabelDataConfig, LabelledClips
from sese.labels.network import SYSTEM, TASKS, LabelNet, LabelNetConfig, save
from sese.training import run_folder
from sese.training.config import build, dump, read_values
from sese.training.run_folder import LAST, RESOLVED

STANDARDISE_CLIPS = 64


@dataclass(frozen=True)
class LabelTrainingConfig:
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
        for name in ("batch_size", "steps", "validate_steps", "validation_clips"):
            if getattr(self, name) < 1:
                raise InputError(f"training.{name} is {getattr(self, name)}; use 1 or more")
        if not self.learning_rate > 0:
            raise InputError(f"training.learning_rate is {self.learning_rate}; use a number above 0")


@dataclass(frozen=True)
class LabelRunConfig:
    """One run.

    Attributes:
        name: of the run's folder.
        seed: of the initial weights, of the clips, and of who is held out.
        system: ``labels``.
        task: ``voice_activity`` (a label a frame), ``speaker_sex`` (one a clip) or ``frame_snr`` (the SNR of
            each frame, for `training.purification`).
    """

    name: str = "labels"
    seed: int = 0
    system: str = SYSTEM
    task: str = TASKS[0]
    model: LabelNetConfig = field(default_factory=LabelNetConfig)
    data: LabelDataConfig = field(default_factory=LabelDataConfig)
    training: LabelTrainingConfig = field(default_factory=LabelTrainingConfig)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"task is {self.task!r}; choose from {list(TASKS)}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; use a whole number from 0")


def read(path: Path, overrides: Sequence[str] = ()) -> LabelRunConfig:
    """Read a configuration file and overrides.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    return build(LabelRunConfig, read_values(path, overrides), "")


def loss_of(scores: Tensor, target: Tensor, task: str) -> Tensor:
    """Cross-entropy of each clip, in nats: of its frames, or of their mean score for a clip's label.

    For ``frame_snr`` the mean squared error, in units of (10 dB)^2.

    Args:
        scores, target: (clip, frame).
        task: of `TASKS`.
    """
    if task == "speaker_sex":
        return F.binary_cross_entropy_with_logits(scores.mean(1), target[:, 0], reduction="none")
    if task == "frame_snr":
        return (scores - target).square().mean(1)
    return F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean(1)


def accuracy_of(scores: Tensor, target: Tensor, task: str) -> Tensor:
    """Share of a clip's frames, or of clips, labelled rightly: (clip,). Of SNRs the sign has to be right."""
    if task == "speaker_sex":
        return ((scores.mean(1) > 0) == (target[:, 0] > 0.5)).float()
    threshold = 0.0 if task == "frame_snr" else 0.5
    return ((scores > 0) == (target > threshold)).float().mean(1)


def train(
    config: LabelRunConfig, folder: Path, resume: bool = False, max_minutes: float | None = None
) -> bool:
    """Train, or go on training.

    The folder gets `config.yaml`, `metrics.jsonl`, `checkpoints/last.ckpt`, and two networks, `last/` and
    `best/`.

    Args:
        config: the run.
        folder: of the run.
        resume: go on from the last checkpoint: weights, optimiser, schedule and clips.
        max_minutes: stop cleanly with a checkpoint after this long.

    Returns:
        Whether every step is done.

    Raises:
        InputError: a run lies there and is not to be resumed, or nothing lies there to resume.
    """
    run_folder.check(folder, resume)
    settings = config.training
    clips = LabelledClips(config.task, config.data, config.model, config.seed)
    held_out = LabelledClips(config.task, config.data, config.model, config.seed, "held_out")
    chosen_by = held_out(range(settings.validation_clips))
    torch.manual_seed(config.seed)
    net = LabelNet(config.model)
    _standardise(net, clips(range(STANDARDISE_CLIPS)).audio)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    warm_up = max(1, settings.steps // 20)

    def factor(step: int) -> float:
        return min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    done, best = 0, math.inf
    if resume:
        held = torch.load(folder / LAST, weights_only=True)
        net.load_state_dict(held["net"])
        optimiser.load_state_dict(held["optimiser"])
        schedule.load_state_dict(held["schedule"])
        done, best = held["step"], held["best"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESOLVED).write_text(dump(config))
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    while done < settings.steps:
        first = done * settings.batch_size
        batch = clips(range(first, first + settings.batch_size))
        loss = loss_of(net(batch.audio), batch.target, config.task).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        done += 1
        stop = deadline is not None and time.monotonic() > deadline
        if stop or done == settings.steps or done % settings.validate_steps == 0:
            with torch.no_grad():
                scores = net(chosen_by.audio)
            facts = {
                "step": done,
                "train/loss": loss.item(),
                "val/loss": loss_of(scores, chosen_by.target, config.task).mean().item(),
                "val/accuracy": accuracy_of(scores, chosen_by.target, config.task).mean().item(),
            }
            _note(folder, facts)
            if facts["val/loss"] < best:
                best = facts["val/loss"]
                save(folder / "best", config.task, config.model, net.state_dict())
            save(folder / "last", config.task, config.model, net.state_dict())
            held = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": done, "best": best}
            run_folder.write_checkpoint(folder, {**held, "schedule": schedule.state_dict()})
        if stop:
            break
    return done >= settings.steps


def _standardise(net: LabelNet, audio: Tensor) -> None:
    bands = net.log_bands(audio).flatten(0, 1)
    net.mean.copy_(bands.mean(0))
    net.deviation.copy_(bands.std(0).clamp_min(1e-3))


def _note(folder: Path, facts: Mapping[str, float]) -> None:
    text = "  ".join(f"{name} {value:.4f}" for name, value in facts.items() if name != "step")
    print(f"step {facts['step']}  {text}", flush=True)
    run_folder.note(folder, facts)
