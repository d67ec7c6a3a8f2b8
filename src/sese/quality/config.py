"""The configuration of a quality predictor: its network, its clips, its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sese.core.checks import above_zero, at_least, inner_shares
from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.predictor.design import Design
from sese.training.config_file import build, read_values


@dataclass(frozen=True)
class ClipsConfig:
    """The clips that a predictor learns from, labelled once with wide-band PESQ.

    Attributes:
        train: corpus folders in any layout that `sese data describe` understands.
        validation: the same, with other speakers and noises; where it is empty, `held_out` of the speakers
            and of the noise recordings of `train` are kept for validation.
        synthetic: make speech-like and noise-like signals instead of reading folders (tests, trials).
        cache_dir: folder for decoded corpora and labelled clips; the user's cache folder when empty.
        mix: settings of noisy mixtures; their clips are as long as the network's.
        clips, validation_clips: number of clips to train on, and to validate on.
        held_out: share of the speakers, and of the noise recordings, for validation.
        models: names or folders of models whose levels enhance clips.
        enhanced: chance that a clip is what one level of one model makes of the mixture.
        limited: chance that it is that mixed with 10 to 70% of the mixture. All others are the mixture.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    synthetic: bool = False
    cache_dir: str = ""
    mix: MixConfig = field(default_factory=lambda: MixConfig(silence=0.0))
    clips: int = 4000
    validation_clips: int = 400
    held_out: float = 0.1
    models: tuple[str, ...] = ("sese-2", "demucs-slim-small")
    enhanced: float = 0.5
    limited: float = 0.2

    def __post_init__(self) -> None:
        if self.clips < 2 or self.validation_clips < 2:
            raise InputError(
                f"data.clips is {self.clips}, data.validation_clips {self.validation_clips}; use 2 or more"
            )
        inner_shares(self, "data", "held_out")
        if min(self.enhanced, self.limited) < 0 or self.enhanced + self.limited > 1:
            raise InputError(
                f"data.enhanced is {self.enhanced}, data.limited {self.limited}; "
                "use chances that sum to 1 at most"
            )
        if not self.models and self.enhanced + self.limited > 0:
            raise InputError("data.models is empty; name models, or set data.enhanced and data.limited to 0")
        if self.mix.silence > 0:
            raise InputError("data.mix.silence: PESQ has no value without speech; use 0")
        if self.mix.conversation > 0:
            raise InputError(
                "data.mix.conversation: a clip may lie in a pause, where PESQ has no value; use 0"
            )


@dataclass(frozen=True)
class LearningConfig:
    """Settings of training: mean squared error, Adam, a cosine after a short warm-up.

    Attributes:
        initial: folder of a network of the same sizes to start from, as a run's ``best``; one with ReLUs may
            start one with steps.
        batch_size: clips in a step.
        steps: number of steps of the whole schedule.
        learning_rate: peak learning rate.
        warmup_steps: number of steps of a linear rise.
        dropout: after each of the first three poolings.
        validate_steps: number of steps between two validations, each with a checkpoint.
        log_steps: number of steps between two notes of the loss.
        precision: precision of the convolutions and their gradients.
        threads: CPU threads of PyTorch; 0 leaves its choice.
    """

    initial: str = ""
    batch_size: int = 64
    steps: int = 10_000
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    dropout: float = 0.3
    validate_steps: int = 200
    log_steps: int = 50
    precision: Literal["32", "bf16"] = "bf16"
    threads: int = 0

    def __post_init__(self) -> None:
        at_least(self, 1, "training", "batch_size", "steps", "warmup_steps", "validate_steps", "log_steps")
        at_least(self, 0, "training", "threads")
        above_zero(self, "training", "learning_rate")
        if not 0 <= self.dropout < 1:
            raise InputError(f"training.dropout is {self.dropout}; use a chance from 0, below 1")


@dataclass(frozen=True)
class QualityConfig:
    """One predictor.

    Attributes:
        name: name of the run's folder.
        seed: seed of the clips, their order and the initial weights.
        network: its sizes.
        data: its clips.
        training: settings of training.
    """

    name: str = "quality"
    seed: int = 0
    network: Design = field(default_factory=Design)
    data: ClipsConfig = field(default_factory=ClipsConfig)
    training: LearningConfig = field(default_factory=LearningConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; use a whole number from 0")

    @property
    def mix(self) -> MixConfig:
        """Return how mixtures are made, at the network's rate and length."""
        network = self.network
        return dataclasses.replace(
            self.data.mix, sample_rate=network.sample_rate, seconds=network.samples / network.sample_rate
        )


def read(path: Path, overrides: Sequence[str] = ()) -> QualityConfig:
    """Read a configuration file, the files it builds on, and `key.path=value` overrides.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    config: QualityConfig = build(QualityConfig, read_values(path, overrides), "")
    return config
