"""Classes of mixtures, one for each expert, and how sharply experts are mixed (arXiv 2005.08128)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sese.core.checks import above_zero
from sese.core.errors import InputError
from sese.core.untrusted import read_table
from sese.data.bank import Bank
from sese.data.mixing import Mixture

Sharpness = Literal["soft", "growing", "sigmoid", "sine", "sharp"]
SHARPEST = 10.0


@dataclass(frozen=True)
class ExpertsConfig:
    """What the experts of a mixture are for, and how they are trained together.

    Attributes:
        classes: what makes the class of a mixture, which is the number of its expert: ``none``, ``snr`` (the
            nearest of `snr_db`) or ``speakers`` (what `table` says of the speaker).
        snr_db: for ``snr``, the centre of each class in dB.
        table: for ``speakers``, a CSV file with the columns speaker, the name of a folder of the corpus, and
            class, any word; classes are numbered by their words in order. Speakers that are not in it are
            left out of training and validation.
        sharpness: for ``mixture``, by which the gate's scores are multiplied before their softmax, at step i:
            ``soft`` (1), ``growing`` (1.0023 ** i), ``sigmoid`` (5 + 5 / (1 + exp(-0.01 (i - 500)))),
            ``sine`` (5 sin(0.005 i - 499.9) + 5.2) or ``sharp`` (10). Once at 10 it stays there.
        pace: steps of that schedule in a step of the run, for runs shorter than the published.
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

    def check_count(self, experts: int) -> None:
        """Refuse another number of classes than of experts; a table is looked at where the corpora are.

        Raises:
            InputError: they differ.
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
        """What the scores are multiplied by in a step, counted from 0."""
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
    """First step of the published sine at 10."""
    return next(step for step in range(2000) if _sine(step) >= SHARPEST)


def read_classes(path: Path) -> dict[str, str]:
    """The class of each speaker in a table, see `ExpertsConfig.table`.

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
    """The speakers of a bank that have a class.

    Args:
        config: tells the classes.
        speech: the bank.
        experts: that the model has.

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
    """What gives mixtures, made with the speech of a bank as `listed` returns it, their class as label."""
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
    """Number of the nearest centre: (row,) -> (row,)."""
    return (snr_db.clamp(-1e3, 1e3).unsqueeze(1) - snr_db.new_tensor(centres)).abs().argmin(1)


class Labelled:
    """Makes examples by their number, as a mixer does, with their class as label.

    Args:
        mixes: makes them without.
        label: as `classifier` returns it.
    """

    def __init__(self, mixes: Callable[[Sequence[int]], Mixture], label: Callable[[Mixture], Mixture]):
        self.mixes, self.label = mixes, label

    def __call__(self, indices: Sequence[int]) -> Mixture:
        """The examples of these numbers (each 0 or more)."""
        return self.label(self.mixes(indices))
