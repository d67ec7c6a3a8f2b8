"""Training and validation data of a run, made on the device that trains."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sese.core.errors import plain
from sese.data.batches import ComputeMixtures, TrainBatches, validation_set
from sese.data.contrastive_pairs import ContrastivePairSampler
from sese.data.corpora import check_disjoint
from sese.data.corpus_banks import Banks, load_banks
from sese.data.labelled_pool import LabelledPool, label_pool
from sese.data.mixing import Mixer
from sese.data.mixture_sampler import MixtureSampler
from sese.data.synthetic import synthetic_banks
from sese.training.config import RunConfig
from sese.training.experts import Labelled, classifier, listed
from sese.training.metric_guided import activation, labeller, percentiles, targets
from sese.training.task import EnhancementTask


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
        train, validation = self._read()
        classes, experts = self.config.training.experts, self.config.model.levels
        self.banks = (
            replace(train, speech=listed(classes, train.speech, experts)),
            replace(validation, speech=listed(classes, validation.speech, experts)),
        )

    def _read(self) -> tuple[Banks, Banks]:
        data = self.config.data
        rate = self.config.model.sample_rate
        if data.synthetic:
            return synthetic_banks(rate, seed=1), synthetic_banks(rate, seed=2)
        train = load_banks(
            data.train,
            speech=data.speech,
            noise=data.noise,
            rir=data.rir,
            sample_rate=rate,
            cache_dir=data.cache_dir or None,
        )
        cache = data.cache_dir or None
        validation = load_banks(
            data.validation, sample_rate=rate, cache_dir=cache, split=None, use="validation"
        )
        check_disjoint(train.corpus, validation.corpus)
        for problem in (*train.problems, *validation.problems):
            print(plain(f"skipped {problem.path}: {problem.reason}"))
        return train, validation

    def prepare_data(self) -> None:
        """Label a pool where a metric guides; one process does it, the others read its file."""
        if self.config.training.guidance.labels:
            self.setup("fit")
            self._labels()

    def train_dataloader(self) -> DataLoader:
        """Batches from the trainer's step on."""
        assert self.banks is not None
        assert self.trainer is not None
        size = self.config.training.batch_size
        device = self.trainer.strategy.root_device
        mixer = self.mixer(device)
        guided = self.config.training.guidance.mixtures > 0
        label = classifier(self.config.training.experts, mixer.speech.bank)
        mixtures: ComputeMixtures = LabelledPool(mixer, self._targets()) if guided else Labelled(mixer, label)
        world = self.trainer.world_size
        start = self.trainer.global_step * size * world
        batches = TrainBatches(mixtures, size, start, self.trainer.global_rank, world)
        return DataLoader(batches, batch_size=None)

    def mixer(self, device: torch.device | str) -> Mixer:
        """What makes a training's examples by their numbers."""
        assert self.banks is not None
        mix = replace(self.config.data.mix, sample_rate=self.config.model.sample_rate)
        banks = self.banks[0]
        sampler = ContrastivePairSampler if self.config.training.method == "contrastive" else MixtureSampler
        return Mixer(mix, banks.speech, banks.noise, banks.rir, self.config.seed, device, sampler)

    def _labels(self) -> Tensor:
        """DNSMOS OVRL of the pool, float32 (example,)."""
        data, count = self.config.data, self.config.training.guidance.mixtures
        label = labeller(self.config.model.sample_rate)
        return label_pool(self.mixer("cpu"), count, "dnsmos-ovrl", label, data.cache_dir or None)

    def _targets(self) -> Tensor:
        """Share of the dynamic parts that each example of the pool shall activate; noted in the run."""
        assert self.trainer is not None
        config, task = self.config.training.guidance, self.trainer.lightning_module
        assert isinstance(task, EnhancementTask)
        sites = task.model.sites
        mean = activation(torch.tensor(self.config.training.routing.target), sites).item()
        if config.labels:
            labels = self._labels()
            config = percentiles(config, labels)
        else:
            labels = torch.ones(config.mixtures)
        shares = targets(labels, config, mean)
        if self.trainer.is_global_zero:
            noted = asdict(config) | {"mean": mean, "least": shares.min().item(), "most": shares.max().item()}
            (Path(self.trainer.default_root_dir) / "guidance.json").write_text(json.dumps(noted))
        return shares

    def val_dataloader(self) -> DataLoader:
        """The fixed validation set, without augmentation."""
        assert self.banks is not None
        banks, data = self.banks[1], self.config.data
        mix = replace(
            data.mix.without_augmentation(),
            sample_rate=self.config.model.sample_rate,
            seconds=data.validation_seconds,
        )
        fixed = validation_set(mix, banks.speech, banks.noise, None, data.validation_clips, seed=1)
        fixed = list(map(classifier(self.config.training.experts, banks.speech), fixed))
        return DataLoader(fixed, batch_size=None)  # type: ignore[arg-type]
