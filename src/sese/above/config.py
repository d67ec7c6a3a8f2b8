"""Configuration of the network above a model's band: its examples and its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sese.core.checks import above_zero, at_least, shares
from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.training.config_file import build, read_values

RATE = 48_000
"""Sample rate of the mixtures in Hz."""


@dataclass(frozen=True)
class ExamplesConfig:
    """Mixtures to learn from. A model runs on each once, and what the network hears is stored.

    Attributes:
        train: corpus folders with full-band speech and noise, in any layout of `sese data describe`.
        validation: the same, with other talkers and recordings.
        synthetic: generate speech-like and noise-like signals instead of reading folders (tests, trials).
        cache_dir: folder for decoded corpora and examples; the user's cache folder when empty.
        mix: settings of the mixtures.
        clips, validation_clips: number of clips to train on, and to validate on.
        hiss: chance that steady noise of any colour is added, 0 to 45 dB below the speech.
        hiss_alone: chance that it takes the place of all other noise.
        models: names or folders of models for 16 kHz that run on the mixtures, each at random levels.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    synthetic: bool = False
    cache_dir: str = ""
    mix: MixConfig = field(default_factory=MixConfig)
    clips: int = 1600
    validation_clips: int = 100
    hiss: float = 0.5
    hiss_alone: float = 0.5
    models: tuple[str, ...] = ("sese-2",)

    def __post_init__(self) -> None:
        at_least(self, 1, "data", "clips", "validation_clips")
        shares(self, "data", "hiss", "hiss_alone")
        if not self.models:
            raise InputError("data.models is empty; name a model")


@dataclass(frozen=True)
class LearningConfig:
    """Settings of training: Adam, a cosine after a short warm-up.

    Attributes:
        initial: folder of a network of the same size to start from, as a run's ``best``.
        batch_size: clips in a step.
        points: number of points of time that a step takes of each clip, about 125 a second.
        steps: number of steps of the whole schedule.
        learning_rate: peak learning rate.
        warmup_steps: number of steps of a linear rise.
        spare: weight of the error where a band of speech gets too low, relative to where too much is left.
        depth: weight of the squared error of logarithms, for steady noise.
        silent_bands: chance that the highest bands of a clip are silent, as at lower sample rates.
        validate_steps: number of steps between two validations, each with a checkpoint.
        threads: CPU threads of PyTorch; 0 leaves its choice.
    """

    initial: str = ""
    batch_size: int = 64
    points: int = 500
    steps: int = 1500
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    spare: float = 1.0
    depth: float = 0.05
    silent_bands: float = 0.15
    validate_steps: int = 100
    threads: int = 0

    def __post_init__(self) -> None:
        at_least(self, 1, "training", "batch_size", "points", "steps", "warmup_steps", "validate_steps")
        at_least(self, 0, "training", "threads")
        above_zero(self, "training", "learning_rate", "spare")
        at_least(self, 0, "training", "depth")
        shares(self, "training", "silent_bands")


@dataclass(frozen=True)
class AboveConfig:
    """One network.

    Attributes:
        name: name of the run's folder.
        seed: seed of the examples, their order and the initial weights.
        units: units of the recurrent layer.
        data: its examples.
        training: settings of training.
    """

    name: str = "above"
    seed: int = 0
    units: int = 32
    data: ExamplesConfig = field(default_factory=ExamplesConfig)
    training: LearningConfig = field(default_factory=LearningConfig)

    def __post_init__(self) -> None:
        at_least(self, 0, "", "seed")
        at_least(self, 1, "", "units")

    @property
    def mix(self) -> MixConfig:
        """Return how mixtures are computed, at `RATE`."""
        return dataclasses.replace(self.data.mix, sample_rate=RATE)


def read(path: Path, overrides: Sequence[str] = ()) -> AboveConfig:
    """Read a configuration file, the files it builds on, and `key.path=value` overrides.

    Raises:
        InputError: missing file, bad YAML, unknown key or unusable value.
    """
    config: AboveConfig = build(AboveConfig, read_values(path, overrides), "")
    return config
