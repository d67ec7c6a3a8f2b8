"""The configuration of a run that trains a model. Each value's home is a dataclass, which checks it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sese.core.checks import above_zero, at_least, shares
from sese.core.errors import InputError, brief
from sese.data.mix_config import MixConfig
from sese.nn.backbones.registry import SYSTEMS
from sese.nn.bounded import bounded
from sese.training import combinations, pmsqe, renamed
from sese.training.boosting_config import BoostingConfig
from sese.training.config_file import build, read_values
from sese.training.contrastive import ContrastiveConfig
from sese.training.experts import ExpertsConfig
from sese.training.losses import LOSSES
from sese.training.masks import MasksConfig
from sese.training.metric_guided import GuidanceConfig
from sese.training.milestones import MilestonesConfig
from sese.training.pruning import PruningConfig
from sese.training.purification import PurificationConfig
from sese.training.random_level import RandomLevelConfig
from sese.training.routing import RoutingConfig


@dataclass(frozen=True)
class DataConfig:
    """What to train on.

    Attributes:
        train, validation: corpus folders in any layout that `sese data describe` understands.
        speech, noise, rir: folders that hold one role each, for training.
        synthetic: make speech-like and noise-like signals instead of reading folders (tests, trials).
        cache_dir: where decoded corpora are kept; the user's cache folder when empty.
        mix: how noisy mixtures are made.
        validation_clips, validation_seconds: size of the fixed validation set.
        pesq_clips: of these, how many are also scored by PESQ (needs the extra `metrics`).
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
        at_least(self, 1, "data", "validation_clips")
        at_least(self, 0, "data", "pesq_clips")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        method: what a step trains: ``random_level`` (each row of the batch at one level), ``all_levels`` (the
            whole batch at every level, as Adaptive Slimming does), ``sandwich`` (widest, narrowest, one
            between), ``full`` (the widest only), ``routing`` (the model's router picks, and learns to),
            ``routing_from_errors`` (every level is run, without learning, and the router learns from each
            frame's errors which to pick), ``activity`` (the model's policy learns from the mixtures' sides
            whether there is speech, and noise), ``pruning`` (the model's gates pick channels, and learn to),
            ``milestones`` (every step of cold diffusion, each towards its own target), ``specialists`` (each
            row of the batch at the expert of its class), ``gating`` (the gate learns to tell the class),
            ``mixture`` (all experts, mixed by the gate's scores), ``masks`` (a bitwise network, towards
            ideal binary masks; the losses only choose the best weights), ``boosting`` (hashes, bit after
            bit; `steps` are those of all bits together, and what is said below of optimisers is not for it),
            ``contrastive`` (pairs of mixtures), ``purification`` (frames by how clean their target is); with
            a predictor of purification the losses only choose the best weights.
        random_level: for ``random_level``, and for rows of ``routing`` whose level is random.
        masks: for ``masks``.
        boosting: for ``boosting``.
        experts: for ``specialists``, ``gating`` and ``mixture``.
        contrastive: for ``contrastive``.
        purification: for ``purification``, and for ``contrastive`` where it names a predictor.
        milestones: for ``milestones``.
        routing: for ``routing`` and ``routing_from_errors``.
        pruning: for ``pruning``.
        guidance: for ``routing``: a target for each clip by its quality, in place of one for the batch.
        initial: folder of a model whose weights the run starts from, as a run's ``best``; a router may be
            new, and so may what `train_only` names.
        train_only: beginnings of the names of weights, as ``policy`` (the router) or ``backbone.blocks.1``;
            all other weights are frozen. ``all`` trains all.
        distill: for ``all_levels`` and ``sandwich``, weight in [0, 1] of the widest level's output as
            the target of the others, against the clean speech.
        losses: name -> weight.
        batch_size: clips in a step, on each device.
        steps: optimiser steps of the whole schedule.
        learning_rate, weight_decay, betas: of AdamW.
        stft_sizes: whether a step takes the spectral loss at ``all`` STFT sizes, or at ``one``, in turn;
            validation takes all.
        warmup_steps: linear warm-up; then a cosine falls to `final_learning_rate` times the peak.
        decay_steps: where above 0, no cosine: the rate stays at its peak, and falls in a straight line in the
            last so many steps. Such a run can be resumed with more `steps`.
        clip_norm: gradients are scaled down to this norm.
        ema_decay: of the averaged weights that are validated and exported.
        precision: of Lightning, for instance ``bf16-mixed`` or ``32-true``.
        validate_steps, checkpoint_steps, log_steps: how often.
        devices, strategy: of Lightning; several processes run DDP.
        threads: CPU threads of PyTorch; 0 leaves its choice.
    """

    method: Literal[
        "random_level",
        "all_levels",
        "sandwich",
        "full",
        "routing",
        "routing_from_errors",
        "pruning",
        "activity",
        "milestones",
        "specialists",
        "gating",
        "mixture",
        "masks",
        "boosting",
        "contrastive",
        "purification",
    ] = "all_levels"
    random_level: RandomLevelConfig = field(default_factory=RandomLevelConfig)
    boosting: BoostingConfig = field(default_factory=BoostingConfig)
    experts: ExpertsConfig = field(default_factory=ExpertsConfig)
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    purification: PurificationConfig = field(default_factory=PurificationConfig)
    masks: MasksConfig = field(default_factory=MasksConfig)
    milestones: MilestonesConfig = field(default_factory=MilestonesConfig)
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    initial: str = ""
    train_only: tuple[str, ...] = ("all",)
    distill: float = 0.0
    losses: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0, "multi_resolution_stft": 0.1})
    batch_size: int = 16
    steps: int = 100_000
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
    validate_steps: int = 1000
    checkpoint_steps: int = 500
    log_steps: int = 50
    devices: int = 1
    strategy: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        unknown = set(self.losses) - set(LOSSES)
        if unknown or not self.losses:
            raise InputError(f"training.losses names {sorted(unknown)}; choose from {sorted(LOSSES)}")
        if not any(weight > 0 for weight in self.losses.values()):
            raise InputError(f"training.losses is {dict(self.losses)}; give one of them a weight above 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"training.betas is {list(self.betas)}; use numbers from 0, below 1")
        if not self.train_only:
            raise InputError("training.train_only is empty; name weights to train, or use all")
        above_zero(self, "training", "learning_rate")
        shares(self, "training", "distill", "ema_decay", "final_learning_rate")
        at_least(self, 0, "training", "weight_decay", "clip_norm", "warmup_steps", "decay_steps", "threads")
        often = ("validate_steps", "checkpoint_steps", "log_steps")
        at_least(self, 1, "training", "batch_size", "steps", *often, "devices")


@dataclass(frozen=True)
class RunConfig:
    """One run.

    Attributes:
        name: of the run's folder, and of the model.
        seed: of the initial weights, the data order and the levels drawn.
        system: key of `sese.nn.backbones.registry.SYSTEMS`.
        model: that system's values.
    """

    name: str = "run"
    seed: int = 0
    system: str = "demucs"
    model: Any = None
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; use a whole number from 0")
        rate = getattr(self.model, "sample_rate", pmsqe.SAMPLE_RATE)
        if "pmsqe" in self.training.losses and rate != pmsqe.SAMPLE_RATE:
            raise InputError(
                f"the model runs at {rate} Hz and training.losses names pmsqe, which hears at 16000"
            )


def read(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration file, the files it builds on (`base: other.yaml`), and `key.path=value` overrides.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    return parse(read_values(path, overrides))


def parse(values: Mapping[str, Any]) -> RunConfig:
    """Plain nested values -> a checked configuration.

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
    combinations.check(config)
    return config
