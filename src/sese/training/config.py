"""Configuration of a run that trains a model. Each value belongs to a dataclass, which checks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sese.core.checks import above_zero, at_least, shares
from sese.core.errors import InputError, brief
from sese.data.mix_config import MixConfig
from sese.nn.backbones.registry import SYSTEMS
from sese.nn.bounded import bounded
from sese.training import pesq, renamed
from sese.training.config_file import build, read_values
from sese.training.losses import LOSSES, Level, require_length
from sese.training.methods import METHODS, SETTINGS

if TYPE_CHECKING:

    class _MethodSettings:
        method: str

        def __getattr__(self, name: str) -> Any: ...

else:
    # The sections of methods come from the methods, so that a new method adds its own.
    _MethodSettings = dataclasses.make_dataclass(
        "_MethodSettings",
        [
            ("method", str, "all_levels"),
            *((name, kind, field(default_factory=kind)) for name, kind in sorted(SETTINGS.items())),
        ],
        frozen=True,
    )


LOGGERS = ("tensorboard", "wandb")
"""Values of `training.logger`."""


@dataclass(frozen=True)
class DataConfig:
    """Configuration of the data.

    Attributes:
        train, validation: Corpus folders in any layout that `sese data describe` understands.
        speech, noise, rir: Folders that hold one role each, for training.
        synthetic: Whether speech-like and noise-like signals are made instead of reading folders (tests,
            trials).
        cache_dir: Folder of decoded corpora; empty for the user's cache folder.
        mix: Configuration of the noisy mixtures.
        validation_clips, validation_seconds: Number of clips of the fixed validation set, and their length.
        pesq_clips: Number of these clips that are also scored by PESQ (needs the extra `metrics`).
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    speech: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    rir: tuple[str, ...] = ()
    synthetic: bool = False
    cache_dir: str = ""
    mix: MixConfig = field(default_factory=MixConfig)
    validation_clips: int = 200
    validation_seconds: float = 4.0
    pesq_clips: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        at_least(self, 1, "data", "validation_clips")
        at_least(self, 0, "data", "pesq_clips")


@dataclass(frozen=True)
class TrainingConfig(_MethodSettings):
    """Configuration of the training.

    Beside the attributes below there is one section for each entry of `sese.training.methods.SETTINGS`, such
    as `routing` with a `RoutingConfig`.

    Attributes:
        method: Training method, a name of `sese.training.methods.METHODS`: ``all_levels``, ``sandwich``,
            ``full`` and ``random_level`` train given levels; ``routing``, ``routing_from_errors``,
            ``activity``, ``pruning`` and ``gating`` train a policy, together with its backbone or alone;
            ``specialists`` and ``mixture`` train experts, ``milestones`` steps of cold diffusion, ``masks``
            and ``boosting`` networks of bits and hashes, ``contrastive`` and ``purification`` one user's
            model.
            With ``masks``, or with a predictor of purification, `losses` only choose the best weights. With
            ``boosting``, `steps` are those of all bits together, and the optimiser is its own.
        initial: Folder of a model whose weights the run starts from, as a run's ``best``. The weights of a
            router, and those that `train_only` names, may be new.
        train_only: Beginnings of the names of weights to train, as ``policy`` (the router) or
            ``backbone.blocks.1``; all other weights are frozen. ``all`` for all weights.
        distill: Weight in [0, 1] of the highest level's output as the target of the others, against the clean
            speech, for ``all_levels`` and ``sandwich``.
        losses: Name of a loss -> its weight.
        loss_level: Level that the signals of a loss are divided by, that of the ``noisy`` input or of the
            ``clean`` target; ``none`` as in papers.
        batch_size: Number of clips in a step, on each device.
        steps: Number of optimiser steps of the whole schedule.
        optimizer: ``adamw``, or ``muon``, which steps the matrices by Muon and the rest by AdamW.
        learning_rate, weight_decay, betas: Settings of AdamW; Muon uses the first two.
        stft_sizes: STFT sizes of the spectral loss in a step: ``all``, or ``one`` in turn; validation uses
            all.
        warmup_steps: Number of steps of a linear warm-up. Then the learning rate falls along a cosine to
            `final_learning_rate` times its peak.
        decay_steps: Number of last steps in which the rate falls in a straight line from its peak; 0 for the
            cosine. Such a run can be resumed with more `steps`.
        clip_norm: Norm that gradients are scaled down to; 0 for no limit.
        ema_decay: Decay of the averaged weights, which are validated and exported.
        precision: Precision of Lightning, for instance ``bf16-mixed`` or ``32-true``.
        logger: Where measurements go beside `metrics.jsonl`: ``tensorboard``, ``wandb`` (Weights & Biases,
            with the package wandb), both or none, as a list.
        validate_steps, checkpoint_steps, log_steps: Number of steps between two validations, checkpoints,
            logs.
        devices, strategy: Number of devices, and strategy, of Lightning; several processes run DDP.
        threads: Number of CPU threads of PyTorch; 0 for PyTorch's choice.
    """

    initial: str = ""
    train_only: tuple[str, ...] = ("all",)
    distill: float = 0.0
    losses: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0, "multi_resolution_stft": 0.1})
    loss_level: Level = "noisy"
    batch_size: int = 16
    steps: int = 100_000
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    stft_sizes: Literal["all", "one"] = "all"
    warmup_steps: int = 500
    decay_steps: int = 0
    final_learning_rate: float = 0.01
    clip_norm: float = 5.0
    ema_decay: float = 0.999
    precision: str = "bf16-mixed"
    logger: tuple[str, ...] = ("tensorboard",)
    validate_steps: int = 1000
    checkpoint_steps: int = 500
    log_steps: int = 50
    devices: int = 1
    strategy: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if self.method not in METHODS:
            raise InputError(f"training.method is {brief(self.method)}; choose from {list(METHODS)}")
        unknown = set(self.losses) - set(LOSSES)
        if unknown or not self.losses:
            raise InputError(f"training.losses names {sorted(unknown)}; choose from {sorted(LOSSES)}")
        if not any(weight > 0 for weight in self.losses.values()):
            raise InputError(f"training.losses is {dict(self.losses)}; give one of them a weight above 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"training.betas is {list(self.betas)}; use numbers from 0, below 1")
        for name in self.logger:
            if name not in LOGGERS:
                raise InputError(f"training.logger names {brief(name)}; choose from {list(LOGGERS)}")
        if not self.train_only:
            raise InputError("training.train_only is empty; name weights to train, or use all")
        above_zero(self, "training", "learning_rate")
        shares(self, "training", "distill", "ema_decay", "final_learning_rate")
        at_least(self, 0, "training", "weight_decay", "clip_norm", "warmup_steps", "decay_steps", "threads")
        often = ("validate_steps", "checkpoint_steps", "log_steps")
        at_least(self, 1, "training", "batch_size", "steps", *often, "devices")


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run.

    Attributes:
        name: Name of the run's folder, and of the model.
        seed: Seed of the initial weights, the order of the data and the sampled levels.
        system: Name of the system, a key of `sese.nn.backbones.registry.SYSTEMS`.
        model: Configuration of that system.
    """

    name: str = "run"
    seed: int = 0
    system: str = "demucs"
    model: Any = None
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or a loss at a rate that it cannot take.
        """
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; use a whole number from 0")
        rate = getattr(self.model, "sample_rate", pesq.SAMPLE_RATE)
        for name in ("pesq", "estoi"):
            if name in self.training.losses and rate != pesq.SAMPLE_RATE:
                raise InputError(
                    f"the model runs at {rate} Hz and training.losses names {name}, which hears at 16000"
                )


def read(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration file, the files it builds on (`base: other.yaml`), and overrides.

    Args:
        path: YAML file.
        overrides: Changes as `key.path=value`.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    return parse(read_values(path, overrides))


def parse(values: Mapping[str, Any]) -> RunConfig:
    """Build a checked configuration from plain nested values.

    Raises:
        InputError: unknown key, unusable value, or values that do not go together.
    """
    values = renamed.sections(values)
    system = values.get("system", RunConfig.system)
    if not isinstance(system, str) or system not in SYSTEMS:
        raise InputError(f"system is {brief(system)}; choose from {sorted(SYSTEMS)}")
    with bounded(f"model of system '{system}'"):
        model = build(SYSTEMS[system], values.pop("model", None) or {}, "model")
    config = dataclasses.replace(build(RunConfig, values, ""), model=model)
    check(config)
    return config


def check(config: RunConfig) -> None:
    """Check that the values of a run go together.

    Raises:
        InputError: says which two values do not.
    """
    training, name = config.training, config.training.method
    method = METHODS[name]
    method.check(config)
    kind = getattr(config.model, "kind", "")
    if kind not in method.kinds:
        able = [other for other, each in METHODS.items() if kind in each.kinds]
        raise InputError(f"training.method is '{name}' and the model has {kind}; use {' or '.join(able)}")
    if training.train_only == ("policy",) and not method.trains_policy:
        able = [other for other, each in METHODS.items() if each.trains_policy]
        raise InputError(
            f"training.train_only is 'policy'; that needs training.method to be one of {', '.join(able)}"
        )
    for section in SETTINGS.keys() - method.settings.keys():
        if getattr(getattr(training, section), "in_use", False):
            able = [other for other, each in METHODS.items() if section in each.settings]
            raise InputError(
                f"training.{section} is in use, and training.method is '{name}'; "
                f"use {' or '.join(able)}, or leave that section out"
            )
    _check_clips(config)


def _check_clips(config: RunConfig) -> None:
    """Check that clips are long enough for every loss, and at the rate of PESQ where it is wanted."""
    rate, data = config.model.sample_rate, config.data
    require_length("data.mix.seconds", data.mix.seconds, rate)
    require_length("data.validation_seconds", data.validation_seconds, rate)
    if data.pesq_clips and rate != pesq.SAMPLE_RATE:
        raise InputError(
            f"data.pesq_clips is {data.pesq_clips} and the model runs at {rate} Hz; "
            f"PESQ hears at {pesq.SAMPLE_RATE}"
        )
