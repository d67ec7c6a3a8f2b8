"""Training and validation data of a run, mixed on the device that trains."""

from __future__ import annotations

from dataclasses import replace

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from sese.core.errors import InputError, plain
from sese.data.batches import TrainBatches, validation_set
from sese.data.corpora import check_disjoint
from sese.data.corpus_banks import Banks, decode_corpus, find_corpus
from sese.data.mixing import Mixer, Mixture
from sese.data.synthetic import synthetic_banks
from sese.training.config import DataConfig, RunConfig
from sese.training.methods import METHODS
from sese.training.progress import reading

LAYOUT = (
    "corpus/train/clean/SPEAKER/*.wav, corpus/train/noise/CATEGORY/*.wav and perhaps corpus/train/rir/*.wav"
)
"""Layout of a corpus, for messages."""


def is_first() -> bool:
    """Return whether this is the first of the processes that train together, which speaks for all."""
    return not getattr(rank_zero_only, "rank", 0)


def check_named(data: DataConfig) -> None:
    """Check that speech and noise are named for training and for validation, before anything is read.

    Raises:
        InputError: says which is missing, and how a corpus lies.
    """
    if data.synthetic:
        return
    if not data.train and not (data.speech and data.noise):
        missing = "noise" if data.speech else "speech" if data.noise else "data"
        raise InputError(
            f'no training {missing} named; add "data.train=[corpus/train]", a folder with {LAYOUT}; '
            "or data.speech=[...] and data.noise=[...]"
        )
    if not data.validation:
        raise InputError(
            'no validation data named; add "data.validation=[corpus/val]", a folder with the layout of the '
            "training data and with other speakers and noises"
        )


class MixtureData(lightning.LightningDataModule):
    """Endless training batches and a fixed validation set.

    The order of the examples depends on the seed and the step alone, so a resumed run continues where it
    stopped. Banks lie on the training device and mixtures are made there.

    Args:
        config: Configuration of the run.
    """

    def __init__(self, config: RunConfig):
        super().__init__()
        self.config, self.method = config, METHODS[config.training.method]
        self.banks: tuple[Banks, Banks] | None = None
        self.fixed: list[Mixture] | None = None

    def setup(self, stage: str) -> None:
        """Decode or open the corpora.

        Raises:
            InputError: a corpus cannot be used, or the splits share speakers or noises.
        """
        if self.banks is not None:
            return
        train, validation = self._read()
        self.banks = (
            replace(train, speech=self.method.speech(self.config, train.speech)),
            replace(validation, speech=self.method.speech(self.config, validation.speech)),
        )

    def _read(self) -> tuple[Banks, Banks]:
        data = self.config.data
        rate = self.config.model.sample_rate
        if data.synthetic:
            return synthetic_banks(rate, seed=1), synthetic_banks(rate, seed=2)
        # Both are found and compared before either is decoded, which may take minutes.
        found = find_corpus(data.train, speech=data.speech, noise=data.noise, rir=data.rir)
        held_out = find_corpus(data.validation, split=None, use="validation")
        check_disjoint(found, held_out)
        cache = data.cache_dir or None
        folders = ", ".join((*data.train, *data.speech, *data.noise, *data.rir))
        with reading(folders, quiet=not is_first()) as tell:
            train = decode_corpus(found, rate, cache, tell)
        with reading(", ".join(data.validation), quiet=not is_first()) as tell:
            validation = decode_corpus(held_out, rate, cache, tell)
        for problem in (*train.problems, *validation.problems) if is_first() else ():
            print(plain(f"skipped {problem.path}: {problem.reason}"))
        return train, validation

    def prepare_data(self) -> None:
        """Let the method prepare its data, in one process."""
        self.method.prepare_data(self)

    def train_dataloader(self) -> DataLoader:
        """Return the batches from the trainer's step on."""
        assert self.banks is not None
        assert self.trainer is not None
        size = self.config.training.batch_size
        device = self.trainer.strategy.root_device
        mixer = self.mixer(device)
        mixtures = self.method.mixtures(self, mixer)
        world = self.trainer.world_size
        start = self.trainer.global_step * size * world
        batches = TrainBatches(mixtures, size, start, self.trainer.global_rank, world)
        return DataLoader(batches, batch_size=None)

    def mixer(self, device: torch.device | str) -> Mixer:
        """Return the mixer that makes training examples by their numbers, on a device."""
        assert self.banks is not None
        mix = replace(self.config.data.mix, sample_rate=self.config.model.sample_rate)
        banks = self.banks[0]
        return Mixer(mix, banks.speech, banks.noise, banks.rir, self.config.seed, device, self.method.sampler)

    def val_dataloader(self) -> DataLoader:
        """Return the fixed validation set, without augmentation; it is computed once."""
        if self.fixed is None:
            self.fixed = self._fixed()
        return DataLoader(self.fixed, batch_size=None)  # type: ignore[arg-type]

    def _fixed(self) -> list[Mixture]:
        assert self.banks is not None
        banks, data = self.banks[1], self.config.data
        mix = replace(
            data.mix.without_augmentation(),
            sample_rate=self.config.model.sample_rate,
            seconds=data.validation_seconds,
        )
        fixed = validation_set(mix, banks.speech, banks.noise, None, data.validation_clips, seed=1)
        return list(map(self.method.label(self.config, banks.speech), fixed))
