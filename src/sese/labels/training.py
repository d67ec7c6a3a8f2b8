"""A run that trains a network that labels speech: its folder, its stops and its resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.core.errors import InputError
from sese.labels.data import LabelDataConfig, LabelledClips
from sese.nn.label_network import SYSTEM, TASKS, LabelNet, LabelNetConfig, save
from sese.training import run_folder
from sese.training.config_file import build, dump, read_values
from sese.training.small_networks import SmallTrainingConfig, train_network

STANDARDISE_CLIPS = 64


@dataclass(frozen=True)
class LabelRunConfig:
    """One run.

    Attributes:
        name: name of the run's folder.
        seed: seed of the initial weights, of the clips, and of the choice of held-out speakers.
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
    training: SmallTrainingConfig = field(default_factory=SmallTrainingConfig)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"task is {self.task!r}; choose from {list(TASKS)}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; use a whole number from 0")
        if self.data.seconds * self.model.sample_rate < self.model.n_fft:
            raise InputError(
                f"data.seconds is {self.data.seconds}, which at {self.model.sample_rate} Hz is less than one "
                f"spectrum of model.n_fft {self.model.n_fft}; give more"
            )


def read(path: Path, overrides: Sequence[str] = ()) -> LabelRunConfig:
    """Read a configuration file and overrides.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    return parse(read_values(path, overrides))


def parse(values: Mapping[str, Any]) -> LabelRunConfig:
    """Return a checked configuration from nested values.

    Raises:
        InputError: unknown key or unusable value.
    """
    return build(LabelRunConfig, values, "")


def loss_of(scores: Tensor, target: Tensor, task: str) -> Tensor:
    """Return the cross-entropy of each clip, in nats: of its frames, or of their mean score.

    For ``frame_snr`` the mean squared error, in units of (10 dB)^2.

    Args:
        scores, target: (clip, frame).
        task: a task of `TASKS`.
    """
    if task == "speaker_sex":
        return F.binary_cross_entropy_with_logits(scores.mean(1), target[:, 0], reduction="none")
    if task == "frame_snr":
        return (scores - target).square().mean(1)
    return F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean(1)


def accuracy_of(scores: Tensor, target: Tensor, task: str) -> Tensor:
    """Return the share of a clip's frames, or of clips, that are labelled correctly: (clip,)."""
    if task == "speaker_sex":
        return ((scores.mean(1) > 0) == (target[:, 0] > 0.5)).float()
    threshold = 0.0 if task == "frame_snr" else 0.5
    return ((scores > 0) == (target > threshold)).float().mean(1)


def train(
    config: LabelRunConfig, folder: Path, resume: bool = False, max_minutes: float | None = None
) -> bool:
    """Train, or go on training.

    The folder gets what `train_network` writes, and `config.yaml`.

    Args:
        config: the run.
        folder: folder of the run.
        resume: go on from the last checkpoint: weights, optimiser, schedule and clips.
        max_minutes: stop cleanly with a checkpoint after this long.

    Returns:
        Whether every step is done.

    Raises:
        InputError: a run lies there and is not to be resumed, or nothing lies there to resume.
    """
    run_folder.check(folder, config, resume)
    settings = config.training
    clips = LabelledClips(config.task, config.data, config.model, config.seed)
    held_out = LabelledClips(config.task, config.data, config.model, config.seed, "held_out")
    chosen_by = held_out(range(settings.validation_clips))
    torch.manual_seed(config.seed)
    net = LabelNet(config.model)
    _standardise(net, clips(range(STANDARDISE_CLIPS)).audio)

    def loss(numbers: range) -> Tensor:
        batch = clips(numbers)
        return loss_of(net(batch.audio), batch.target, config.task).mean()

    def validate() -> dict[str, float]:
        scores = net(chosen_by.audio)
        return {
            "val/loss": loss_of(scores, chosen_by.target, config.task).mean().item(),
            "val/accuracy": accuracy_of(scores, chosen_by.target, config.task).mean().item(),
        }

    def write(place: Path) -> None:
        save(place, config.task, config.model, net.state_dict())

    run_folder.write_config(folder, dump(config))
    return train_network(net, settings, folder, loss, validate, write, resume, max_minutes)


def _standardise(net: LabelNet, audio: Tensor) -> None:
    bands = net.log_bands(audio).flatten(0, 1)
    net.mean.copy_(bands.mean(0))
    net.deviation.copy_(bands.std(0).clamp_min(1e-3))
