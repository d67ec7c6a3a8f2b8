"""Classes of mixtures, one for each expert, which the three stages of a mixture of experts share.

The stages of arXiv 2005.08128 are the methods `specialists`, `gating` and `mixture`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from sese.core.checks import above_zero
from sese.core.errors import InputError
from sese.core.untrusted import read_table
from sese.data.bank import Bank
from sese.data.batches import ComputeMixtures
from sese.data.mixing import Mixer, Mixture

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.data import MixtureData

Sharpness = Literal["soft", "growing", "sigmoid", "sine", "sharp"]
SHARPEST = 10.0


@dataclass(frozen=True)
class ExpertsConfig:
    """Configuration of the experts' classes, and of their training together.

    Attributes:
        classes: Source of the class of a mixture, which is the number of its expert: ``none``, ``snr`` (the
            nearest of `snr_db`) or ``speakers`` (the speaker's class in `table`).
        snr_db: Centre of each class in dB, for ``snr``.
        table: CSV file for ``speakers``, with the columns speaker, the name of a folder of the corpus, and
            class, any word. Classes are numbered in the order of their words. Speakers that are not listed
            are left out of training and validation.
        sharpness: Factor of the gate's scores before their softmax at step i, for ``mixture``: ``soft`` (1),
            ``growing`` (1.0023 ** i), ``sigmoid`` (5 + 5 / (1 + exp(-0.01 (i - 500)))), ``sine``
            (5 sin(0.005 i - 499.9) + 5.2) or ``sharp`` (10). Once at 10 it stays there.
        pace: Steps of that schedule in a step of the run, for runs shorter than the published ones.
    """

    classes: Literal["none", "snr", "speakers"] = "none"
    snr_db: tuple[float, ...] = (-5.0, 0.0, 5.0, 10.0)
    table: str = ""
    sharpness: Sharpness = "growing"
    pace: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or speakers without a table.
        """
        if self.classes == "snr" and (len(self.snr_db) < 2 or list(self.snr_db) != sorted(set(self.snr_db))):
            raise InputError(
                f"training.experts.snr_db is {list(self.snr_db)}; give two or more centres in dB, growing"
            )
        if self.classes == "speakers" and not self.table:
            raise InputError(
                "training.experts.classes is 'speakers'; name a CSV file with training.experts.table"
            )
        above_zero(self, "training.experts", "pace")

    @property
    def in_use(self) -> bool:
        """Whether mixtures have classes."""
        return self.classes != "none"

    def check_count(self, experts: int) -> None:
        """Check that there are as many classes as experts; a table is checked with the corpora.

        Raises:
            InputError: there are more or fewer.
        """
        if self.classes == "speakers":
            return
        classes = len(self.snr_db) if self.classes == "snr" else 0
        if classes != experts:
            raise InputError(
                f"training.experts makes {classes} classes and model.experts is {experts}; "
                "give each expert a class"
            )

    def sharpness_at(self, step: int) -> float:
        """Return the factor of the scores in a step, counted from 0."""
        at = self.pace * step
        if self.sharpness == "soft":
            return 1.0
        if self.sharpness == "growing":
            return min(SHARPEST, 1.0023 ** min(at, 1e5))
        if self.sharpness == "sigmoid":
            return 5 + 5 / (1 + math.exp(min(-0.01 * (at - 500), 700.0)))
        if self.sharpness == "sine":
            return SHARPEST if at >= _sine_is_sharp() else _sine(at)
        return SHARPEST


def _sine(at: float) -> float:
    return 5 * math.sin(0.005 * at - 499.9) + 5.2


@functools.cache
def _sine_is_sharp() -> int:
    """Return the first step at which the published sine is at 10."""
    return next(step for step in range(2000) if _sine(step) >= SHARPEST)


def read_classes(path: Path) -> dict[str, str]:
    """Return the class of each speaker in a table, see `ExpertsConfig.table`.

    Raises:
        InputError: no such file, missing columns, an empty cell, or a speaker of two classes.
    """
    columns, rows = read_table(path)
    if not {"speaker", "class"} <= set(columns):
        raise InputError(f"{path} has the columns {columns}; it needs speaker and class")
    found: dict[str, str] = {}
    for line, row in rows:
        speaker, kind = row["speaker"], row["class"]
        if not speaker.strip() or not kind.strip():
            raise InputError(f"{path}, line {line}: a cell is empty; fill it, or leave the row out")
        if found.setdefault(speaker.strip(), kind.strip()) != kind.strip():
            raise InputError(f"{path}, line {line}: {speaker} has two classes; give it one")
    return found


def listed(config: ExpertsConfig, speech: Bank, experts: int) -> Bank:
    """Return the part of a bank whose speakers have a class.

    Args:
        config: Configuration of the classes.
        speech: Bank of speech.
        experts: Number of experts of the model.

    Raises:
        InputError: there is none, or the table has another number of classes than the model experts.
    """
    if config.classes != "speakers":
        return speech
    table = read_classes(Path(config.table))
    kinds = sorted(set(table.values()))
    if len(kinds) != experts:
        raise InputError(
            f"{config.table} has {len(kinds)} classes and model.experts is {experts}; "
            "give each expert a class"
        )
    kept = speech.subset(np.array([name in table for name in speech.group_names])[speech.groups])
    if not len(kept):
        raise InputError(
            f"{config.table} lists none of the {len(speech.group_names)} speakers of the corpus, such as "
            f"{speech.group_names[0]}; the column speaker holds names of their folders"
        )
    return kept


def classifier(config: ExpertsConfig, speech: Bank) -> Callable[[Mixture], Mixture]:
    """Return a function that gives mixtures their class as label.

    Args:
        config: Configuration of the classes.
        speech: Bank of the mixtures' speech, as `listed` returns it.
    """
    if config.classes == "speakers":
        table = read_classes(Path(config.table))
        kinds = sorted(set(table.values()))
        numbers = torch.tensor([kinds.index(table[name]) for name in speech.group_names])

        def by_speaker(mixture: Mixture) -> Mixture:
            assert mixture.speaker is not None
            return mixture._replace(label=numbers.to(mixture.speaker.device)[mixture.speaker].float())

        return by_speaker
    if config.classes == "snr":
        return lambda mixture: mixture._replace(label=nearest(mixture.snr_db, config.snr_db).float())
    return lambda mixture: mixture


def nearest(snr_db: Tensor, centres: Sequence[float]) -> Tensor:
    """Return the number of the nearest centre: SNRs (row,) in dB -> (row,)."""
    return (snr_db.clamp(-1e3, 1e3).unsqueeze(1) - snr_db.new_tensor(centres)).abs().argmin(1)


class Labelled:
    """Make examples by their numbers, as a mixer does, with their class as label.

    Args:
        mixtures: Function that makes them without a label.
        label: Function that `classifier` returns.
    """

    def __init__(self, mixtures: ComputeMixtures, label: Callable[[Mixture], Mixture]):
        self.mixtures, self.label = mixtures, label

    def __call__(self, indices: Sequence[int]) -> Mixture:
        """Make the examples of these numbers, each 0 or more."""
        return self.label(self.mixtures(indices))


def label_of(config: RunConfig, speech: Bank) -> Callable[[Mixture], Mixture]:
    """Return a function that gives mixtures of a bank their class as label."""
    return classifier(config.training.experts, speech)


def speech_of(config: RunConfig, speech: Bank) -> Bank:
    """Return the part of a bank whose speakers have a class."""
    return listed(config.training.experts, speech, config.model.levels)


def mixtures_of(data: MixtureData, mixer: Mixer) -> ComputeMixtures:
    """Return what makes labelled examples."""
    return Labelled(mixer, label_of(data.config, mixer.speech.bank))


def check_experts(config: RunConfig, gate: bool, classes: bool) -> None:
    """Check that a model has experts, and what a stage needs beside them.

    Args:
        config: Configuration of the run.
        gate: Whether the stage needs a gate.
        classes: Whether the stage needs a class for each expert.

    Raises:
        InputError: something is missing.
    """
    method, model = config.training.method, config.model
    experts = getattr(model, "experts", 0)
    if experts < 2:
        raise InputError(
            f"training.method is '{method}' and the model has no two experts; "
            "use system local_experts with model.experts of 2 or more"
        )
    if gate and not model.gate_hidden:
        raise InputError(f"training.method is '{method}' and the model has no gate; set model.gate_hidden")
    if classes:
        config.training.experts.check_count(experts)


def classes_of(batch: Mixture) -> Tensor:
    """Return the class of each example: (row,) whole numbers."""
    assert batch.label is not None
    return batch.label.long()


SHARED: dict[str, Any] = {
    "settings": {"experts": ExpertsConfig},
    "speech": speech_of,
    "label": label_of,
    "mixtures": mixtures_of,
}
"""Attributes of `Method` that the three stages have in common."""
