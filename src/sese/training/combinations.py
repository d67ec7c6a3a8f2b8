"""Which systems, ways to train and values of a run go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sese.core.errors import InputError
from sese.data.contrastive_pairs import EXAMPLES_PER_CYCLE
from sese.training.losses import require_length
from sese.training.pmsqe import SAMPLE_RATE as PESQ_RATE

if TYPE_CHECKING:
    from sese.training.config import RunConfig

EXPERTS = ("specialists", "gating", "mixture")
"""Values of `training.method` that are for experts."""

SHORTEST_REST = 4
"""Frames of a clip in which `sample.rest` can draw a stretch."""


def check(config: RunConfig) -> None:
    """Refuse what cannot be trained.

    Raises:
        InputError: says which two values do not go together.
    """
    shares, levels = config.training.random_level.shares, config.model.levels
    if shares and len(shares) != levels:
        raise InputError(
            f"training.random_level.shares has {len(shares)} shares; the model has {levels} levels"
        )
    _check_policy(config)
    if config.training.method in EXPERTS:
        _check_experts(config)
    elif config.training.experts.classes != "none":
        raise InputError(
            f"training.experts.classes is '{config.training.experts.classes}' and training.method "
            f"'{config.training.method}'; use one of {list(EXPERTS)}, or no classes"
        )
    _check_clips(config)
    _check_rests(config)
    _check_bits(config)
    _check_purification(config)
    if config.training.method == "milestones" and not config.model.noise_gains:
        raise InputError(f"training.method is 'milestones' and {config.system} has none; use cold_diffusion")


def _check_policy(config: RunConfig) -> None:
    way, only = config.training.method, config.training.train_only
    if way in ("routing", "routing_from_errors") and not config.model.router_channels:
        raise InputError(f"training.method is '{way}' and the model has no router; set model.router_channels")
    gates = bool(config.model.gate_channels)
    if way == "pruning" and not gates:
        raise InputError("training.method is 'pruning' and the model has no gates; set model.gate_channels")
    if gates and way not in ("pruning", "full"):
        raise InputError(f"training.method is '{way}' and the model has gates; use pruning, or full")
    learns = ("routing", "routing_from_errors", "pruning", "gating", "activity")
    if only == ("policy",) and way not in learns:
        raise InputError(
            f"training.train_only is 'policy'; that needs training.method to be one of {', '.join(learns)}"
        )
    if way == "activity" and not config.model.activity_units:
        raise InputError("training.method is 'activity' and nothing listens; set model.activity_units")
    if way == "activity" and only != ("policy",):
        raise InputError(
            "training.method is 'activity', which trains the policy alone; set train_only: policy"
        )
    if config.training.guidance.mixtures and way != "routing":
        raise InputError(f"training.guidance guides routing, and training.method is '{way}'")
    if way == "routing_from_errors" and only != ("policy",):
        raise InputError(
            "training.method is 'routing_from_errors', which trains the router alone; set train_only: policy"
        )


def _check_experts(config: RunConfig) -> None:
    way, model = config.training.method, config.model
    experts = model.experts
    if experts < 2:
        raise InputError(
            f"training.method is '{way}' and the model has no two experts; "
            "use system local_experts with model.experts of 2 or more"
        )
    if way != "specialists" and not model.gate_hidden:
        raise InputError(f"training.method is '{way}' and the model has no gate; set model.gate_hidden")
    if way != "mixture":
        config.training.experts.check_count(experts)


def _check_clips(config: RunConfig) -> None:
    """Every loss, and PESQ where it is wanted, is to have a value."""
    rate, data = config.model.sample_rate, config.data
    require_length("data.mix.seconds", data.mix.seconds, rate)
    require_length("data.validation_seconds", data.validation_seconds, rate)
    if data.pesq_clips and rate != PESQ_RATE:
        raise InputError(
            f"data.pesq_clips is {data.pesq_clips} and the model runs at {rate} Hz; PESQ hears at {PESQ_RATE}"
        )


def _check_rests(config: RunConfig) -> None:
    share, seconds = config.training.random_level.rest, config.data.mix.seconds
    if not share:
        return
    if not config.model.rests:
        raise InputError(
            f"training.random_level.rest is {share:g} and {config.system} cannot rest; "
            "use gated_mixer, or set it to 0"
        )
    least = SHORTEST_REST * config.model.hop_length / config.model.sample_rate
    if seconds < least:
        raise InputError(
            f"data.mix.seconds is {seconds:g} and training.random_level.rest {share:g}; "
            f"rests need {SHORTEST_REST} frames, {least:.3f} s"
        )


def _check_bits(config: RunConfig) -> None:
    """Hashes and bitwise networks each have a way of their own."""
    way, system = config.training.method, config.system
    if (way == "boosting") != (system == "boosted_hashing"):
        raise InputError(
            f"training.method is '{way}' and system '{system}'; hashes are boosted, nothing else"
        )
    bits = config.model.code_bits
    if way == "masks" and not bits:
        raise InputError(f"training.method is 'masks', which trains bits, and {system} has none; use bitwise")
    if bits and way != "masks":
        raise InputError(f"training.method is '{way}' and the model is of bits; use masks")
    shares = config.training.masks.shares
    if bits and any(shares) != config.model.binary:
        raise InputError(
            f"training.masks.shares is {list(shares)} and model.binary {str(config.model.binary).lower()}; "
            "a network of bits needs shares above 0, the other none"
        )


def _check_purification(config: RunConfig) -> None:
    way, size = config.training.method, config.training.batch_size
    predictor = config.training.purification.predictor
    if way == "contrastive" and size % EXAMPLES_PER_CYCLE:
        raise InputError(
            f"training.batch_size is {size}; contrastive pairs need a multiple of {EXAMPLES_PER_CYCLE}"
        )
    if way == "purification" and not predictor:
        raise InputError(
            "training.method is 'purification' and nothing predicts SNRs; "
            "name training.purification.predictor"
        )
    if predictor and way not in ("purification", "contrastive"):
        raise InputError(
            f"training.purification names a predictor, and training.method is '{way}'; "
            "use purification or contrastive"
        )
