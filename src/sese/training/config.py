"""The configuration of a run: YAML files that build on a base, and dotted overrides.

Every value has its home in a dataclass, which checks it; an unknown key is an error, never ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from sese.data.pairs import EXAMPLES
from sese.data.plans import MixConfig
from sese.errors import InputError, brief
from sese.nn.bounded import bounded
from sese.nn.systems.registry import SYSTEMS
from sese.training import pmsqe
from sese.training.boosting_config import BoostingConfig
from sese.training.contrastive import ContrastiveConfig
from sese.training.experts import ExpertsConfig
from sese.training.losses import LOSSES
from sese.training.masks import MasksConfig
from sese.training.metric_guided import GuidanceConfig
from sese.training.milestones import MilestonesConfig
from sese.training.pruning import PruningConfig
from sese.training.purification import PurificationConfig
from sese.training.routing import RoutingConfig

LARGEST = 2**31 - 1
"""Whole number that a configuration may hold."""


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


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        levels: how a step trains the levels: ``deal`` (each row of the batch at one level), ``all`` (the
            whole batch at every level, as Adaptive Slimming does), ``sandwich`` (widest, narrowest, one
            between), ``full`` (the widest only), ``routed`` (the model's router picks, and learns to),
            ``measured`` (every level is run, without learning, and the router learns from each frame's
            errors which to pick), ``gated`` (the model's gates pick channels, and learn to), ``milestones``
            (every step of cold diffusion, each towards its own target), ``specialists`` (each row of the
            batch at the expert of its class), ``gating`` (the gate learns to tell the class), ``mixture``
            (all experts, mixed by the gate's scores), ``masks`` (a bitwise network, towards
            ideal binary masks; the losses only choose the best weights), ``boosted`` (hashes, bit after
            bit; `steps` are those of all bits together, and what is said below of optimisers is not for it),
            ``contrastive`` (pairs of mixtures), ``purified`` (frames by how clean their target is); with a
            predictor of purification the losses only choose the best weights.
        masks: for ``masks``.
        boosting: for ``boosted``.
        experts: for ``specialists``, ``gating`` and ``mixture``.
        contrastive: for ``contrastive``.
        purification: for ``purified``, and for ``contrastive`` where it names a predictor.
        milestones: for ``milestones``.
        routing: for ``routed`` and ``measured``.
        pruning: for ``gated``.
        guidance: for ``routed``: a target for each clip by its quality, in place of one for the batch.
        initial: folder of a model whose weights the run starts from, as a run's ``best``; a router may be
            new, and so may what `train_only` names.
        train_only: beginnings of the names of weights, as ``policy`` (the router) or ``backbone.blocks.1``;
            all other weights are frozen. ``all`` trains all.
        level_shares: for dealt rows, the share of them that each level gets; even when empty.
        hand_over: share of the steps with dealt rows in which each row goes on at another row's level from
            some frame on, so that a network learns to live with changes of its level.
        distill: for ``all`` and ``sandwich``, weight in [0, 1] of the widest level's output as the target
            of the others, against the clean speech.
        losses: name -> weight.
        batch_size: clips in a step, on each device.
        steps: optimiser steps of the whole schedule.
        learning_rate, weight_decay, betas: of AdamW.
        warmup_steps: linear warm-up; then a cosine falls to `final_learning_rate` times the peak.
        clip_norm: gradients are scaled down to this norm.
        ema_decay: of the averaged weights that are validated and exported.
        precision: of Lightning, for instance ``bf16-mixed`` or ``32-true``.
        validate_steps, checkpoint_steps, log_steps: how often.
        devices, strategy: of Lightning; several processes run DDP.
        threads: CPU threads of PyTorch; 0 leaves its choice.
    """

    levels: Literal[
        "deal",
        "all",
        "sandwich",
        "full",
        "routed",
        "measured",
        "gated",
        "milestones",
        "specialists",
        "gating",
        "mixture",
        "masks",
        "boosted",
        "contrastive",
        "purified",
    ] = "all"
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
    level_shares: tuple[float, ...] = ()
    hand_over: float = 0.0
    distill: float = 0.0
    losses: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0, "multi_resolution_stft": 0.1})
    batch_size: int = 16
    steps: int = 100_000
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = 500
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
        if self.level_shares and abs(sum(self.level_shares) - 1) > 1e-6:
            raise InputError(f"training.level_shares is {list(self.level_shares)}; shares sum to 1")
        if not self.train_only:
            raise InputError("training.train_only is empty; name weights to train, or use all")
        if not self.learning_rate > 0:
            raise InputError(f"training.learning_rate is {self.learning_rate}; use a number above 0")
        if not 0 <= self.distill <= 1:
            raise InputError(f"training.distill is {self.distill}; use a weight from 0 to 1")
        if not 0 <= self.hand_over <= 1:
            raise InputError(f"training.hand_over is {self.hand_over}; use a share from 0 to 1")
        for name in ("batch_size", "steps", "validate_steps", "checkpoint_steps", "log_steps", "devices"):
            if getattr(self, name) < 1:
                raise InputError(f"training.{name} is {getattr(self, name)}; use 1 or more")


@dataclass(frozen=True)
class RunConfig:
    """One run.

    Attributes:
        name: of the run's folder, and of the model.
        seed: of the initial weights, the data order and the levels drawn.
        system: key of `sese.nn.systems.registry.SYSTEMS`.
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


def read_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain nested values of a configuration file under its overrides, as `read` takes them.

    Raises:
        InputError: missing file, bad YAML, or an override that is none.
    """
    return changed(_read_yaml(path), overrides)


def changed(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Plain nested values under `key.path=value` overrides.

    Raises:
        InputError: an override that is none.
    """
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise InputError(f"override '{override}' has no '='; write key.path=value")
        node = values
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise InputError(f"override '{override}': '{parent}' is a value, not a section")
        try:
            node[leaf] = yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise InputError(f"override '{override}': {str(error).splitlines()[0]}") from None
    return values


def parse(values: Mapping[str, Any]) -> RunConfig:
    """Plain nested values -> a checked configuration."""
    values = dict(values)
    system = values.get("system", RunConfig.system)
    if not isinstance(system, str) or system not in SYSTEMS:
        raise InputError(f"system is {brief(system)}; choose from {sorted(SYSTEMS)}")
    with bounded(f"model of system '{system}'"):
        model = build(SYSTEMS[system], values.pop("model", None) or {}, "model")
    config = dataclasses.replace(build(RunConfig, values, ""), model=model)
    shares = config.training.level_shares
    if shares and len(shares) != model.levels:
        raise InputError(
            f"training.level_shares has {len(shares)} shares; the model has {model.levels} levels"
        )
    levels, only = config.training.levels, config.training.train_only
    if levels in ("routed", "measured") and not getattr(model, "router_channels", 0):
        raise InputError(
            f"training.levels is '{levels}' and the model has no router; set model.router_channels"
        )
    gates = bool(getattr(model, "gate_channels", 0))
    if levels == "gated" and not gates:
        raise InputError("training.levels is 'gated' and the model has no gates; set model.gate_channels")
    if gates and levels not in ("gated", "full"):
        raise InputError(f"training.levels is '{levels}' and the model has gates; use gated, or full")
    if only == ("policy",) and levels not in ("routed", "measured", "gated", "gating"):
        raise InputError(
            "training.train_only is 'policy'; that needs training.levels=routed, measured, gated or gating"
        )
    if levels in EXPERTS:
        _check_experts(config)
    if config.training.guidance.mixtures and levels != "routed":
        raise InputError(f"training.guidance guides routed training, and training.levels is '{levels}'")
    if levels == "measured" and only != ("policy",):
        raise InputError(
            "training.levels is 'measured', which trains the router alone; set train_only: policy"
        )
    if (levels == "boosted") != (system == "boosted_hashing"):
        raise InputError(
            f"training.levels is '{levels}' and system '{system}'; hashes are boosted, nothing else"
        )
    bits = getattr(model, "code_bits", 0)
    if levels == "masks" and not bits:
        raise InputError(f"training.levels is 'masks', which trains bits, and {system} has none; use bitwise")
    if bits and levels != "masks":
        raise InputError(f"training.levels is '{levels}' and the model is of bits; use masks")
    if bits and any(config.training.masks.shares) != model.binary:
        raise InputError(
            f"training.masks.shares is {list(config.training.masks.shares)} and model.binary "
            f"{str(model.binary).lower()}; a network of bits needs shares above 0, the other none"
        )
    size, predictor = config.training.batch_size, config.training.purification.predictor
    if levels == "contrastive" and size % EXAMPLES:
        raise InputError(f"training.batch_size is {size}; contrastive pairs need a multiple of {EXAMPLES}")
    if levels == "purified" and not predictor:
        raise InputError(
            "training.levels is 'purified' and nothing predicts SNRs; name training.purification.predictor"
        )
    if predictor and levels not in ("purified", "contrastive"):
        raise InputError(
            f"training.purification names a predictor, and training.levels is '{levels}'; "
            "use purified or contrastive"
        )
    if levels == "milestones" and not hasattr(model, "noise_gains"):
        raise InputError(f"training.levels is 'milestones' and {system} has none; use cold_diffusion")
    return config


EXPERTS = ("specialists", "gating", "mixture")
"""Values of `training.levels` that are for experts."""


def _check_experts(config: RunConfig) -> None:
    """Refuse what no mixture of experts can be trained by."""
    levels, model = config.training.levels, config.model
    experts = getattr(model, "experts", 0)
    if experts < 2:
        raise InputError(
            f"training.levels is '{levels}' and the model has no two experts; "
            "use system local_experts with model.experts of 2 or more"
        )
    if levels != "specialists" and not model.gate_hidden:
        raise InputError(f"training.levels is '{levels}' and the model has no gate; set model.gate_hidden")
    if levels != "mixture":
        config.training.experts.check_count(experts)


def dump(config: Any) -> str:
    """The configuration (a dataclass) as YAML that reads back."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def _read_yaml(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    try:
        place = path.resolve()
    except (OSError, ValueError, RuntimeError):  # links in a circle, and names that no file can have
        raise InputError(f"{path} cannot be a file; give another name") from None
    if place in above:
        raise InputError(f"{path} builds on itself by way of its base; name another base")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a configuration file such as configs/*.yaml") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply to be read as YAML; write it flat") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, not sections of key: value")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise InputError(f"{path}: base is {brief(base)}; expected the name of one file")
    return _merge(_read_yaml(path.parent / base, (*above, place)), values)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        # Losses are replaced as a whole: a term of the base must not linger unseen.
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "losses"
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def build(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """Plain values -> a dataclass of this kind, its own dataclasses included; `where` it stands, for errors.

    Raises:
        InputError: unknown key or unusable value.
    """
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    if not isinstance(values, Mapping):
        raise InputError(
            f"{where or 'the configuration'} is {brief(values)}; expected a section of key: value"
        )
    unknown = [key for key in values if key not in known]
    if unknown:
        name = ".".join((*filter(None, (where,)), str(unknown[0])[:200]))
        near = difflib.get_close_matches(str(unknown[0]), known, 1)
        meant = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(f"unknown key '{name}'; {meant}known here: {sorted(known)}")
    made = {
        key: _convert(hints[key], value, ".".join(filter(None, (where, key))))
        for key, value in values.items()
    }
    return kind(**made)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        items = [value] if isinstance(value, str | int | float) else value
        if not isinstance(items, list | tuple):
            raise InputError(f"{where} is {brief(value)}; expected a list")
        if Ellipsis not in arguments and len(items) != len(arguments):
            raise InputError(f"{where} is {brief(value)}; expected {len(arguments)} values")
        return tuple(_convert(arguments[0], item, where) for item in items)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{where} is {brief(value)}; expected a section of key: value")
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where} is {brief(value)}; choose from {list(arguments)}")
        return value
    if hint is float:
        try:
            # YAML 1.1 reads 1e-4 as text.
            number = float(str(value) if isinstance(value, bool) else value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where} is {brief(value)}; expected a number") from None
        if not math.isfinite(number):
            raise InputError(f"{where} is {number}; expected a finite number")
        return number
    if hint in (int, str, bool) and (
        not isinstance(value, hint) or (hint is int and isinstance(value, bool))
    ):
        raise InputError(f"{where} is {brief(value)}; expected {hint.__name__}")
    if hint is int and not -LARGEST <= value <= LARGEST:
        raise InputError(f"{where} is {brief(value)}; whole numbers go up to {LARGEST}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
