"""Training and validation data of a run, made on the device that trains."""

from __future__ import annotations

from dataclasses import replace

import lightning
from torch.utils.data import DataLoader

from sese.data.loaders import Banks, TrainBatches, build, check_disjoint, validation_set
from sese.data.mixing import Mixer
from sese.data.synthetic import synthetic_banks
from sese.training.config import RunConfig


class MixtureData(lightning.LightningDataModule):
    """Endless training batches and a fixed validation set.

    The order of the examples depends on the seed and the step alone, so a resumed run goes on where it
    stopped. Banks lie on the training device and mixtures are made there.
    """

    def __init__(self, config: RunConfig):
        super().__init__()
        self.config = config
        self.banks: tuple[Banks, Banks] | None = None

    def setup(self, stage: str) -> None:
        """Decode or open the corpora; refuses speakers or noises shared between the splits."""
        if self.banks is not None:
            return
        data = self.config.data
        rate = self.config.model.sample_rate
        if data.synthetic:
            self.banks = synthetic_banks(rate, seed=1), synthetic_banks(rate, seed=2)
            return
        train = build(
            data.train,
            speech=data.speech,
            noise=data.noise,
            rir=data.rir,
            sample_rate=rate,
            cache_dir=data.cache_dir or None,
        )
        validation = build(data.validation, sample_rate=rate, cache_dir=data.cache_dir or None, split=None)
        check_disjoint(train.corpus, validation.corpus)
        for problem in (*train.problems, *validation.problems):
            print(f"skipped {problem.path}: {problem.reason}")
        self.banks = train, validation

    def train_dataloader(self) -> DataLoader:
        """Batches from the trainer's step on."""
        assert self.banks is not None
        assert self.trainer is not None
        banks, size = self.banks[0], self.config.training.batch_size
        device = self.trainer.strategy.root_device
        mix = replace(self.config.data.mix, sample_rate=self.config.model.sample_rate)
        mixer = Mixer(mix, banks.speech, banks.noise, banks.rir, self.config.seed, device)
        world = self.trainer.world_size
        start = self.trainer.global_step * size * world
        batches = TrainBatches(mixer, size, start, self.trainer.global_rank, world)
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """The fixed validation set, without augmentation."""
        assert self.banks is not None
        banks, data = self.banks[1], self.config.data
        mix = replace(
            data.mix.plain(), sample_rate=self.config.model.sample_rate, seconds=data.validation_seconds
        )
        fixed = validation_set(mix, banks.speech, banks.noise, None, data.validation_clips, seed=1)
        return DataLoader(fixed, batch_size=None)  # type: ignore[arg-type]
