"""Training of the network above a model's band: one loop, resumable, over examples in memory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sese.above import network as networks
from sese.above.config import AboveConfig
from sese.above.examples import Examples, examples
from sese.above.network import GainNetwork, loss
from sese.core.errors import InputError
from sese.runtime.band_evidence import BANDS, FLOOR, LOWEST, LOWEST_EXCESS
from sese.training import run_folder
from sese.training.in_memory import InMemoryTraining, train_in_memory
from sese.training.loop import descend
from sese.training.schedule import warmed_cosine

WEIGHTS = "model.safetensors"
FINAL = 0.02  # share of the peak learning rate at the last step
CLIP_NORM = 1.0
FEWEST_BANDS = 2  # that are not silent in a clip


def train(config: AboveConfig, folder: Path, resume: bool = False, max_minutes: float | None = None) -> bool:
    """Train a network, or go on training; examples that the cache does not have are computed first.

    The folder gets `config.yaml`, `metrics.jsonl`, `checkpoints/last.ckpt` (to resume from), and the weights
    `last/model.safetensors` and `best/model.safetensors` (by the loss on the validation examples).

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        resume: Go on from the last checkpoint; the result is that of a run that was never stopped.
        max_minutes: Stop cleanly after this long.

    Returns:
        Whether every step is done.

    Raises:
        InputError: A run lies there and is not to be resumed, nothing lies there to resume, or the examples
            cannot be computed.
    """
    return train_in_memory(
        config,
        folder,
        resume,
        max_minutes,
        lambda: examples(config, max_minutes),
        lambda pair: _Run(config, folder, *pair, resume),
    )


class _Run(InMemoryTraining):
    """A training at some step."""

    network: GainNetwork

    def __init__(
        self, config: AboveConfig, folder: Path, train: Examples, held: Examples, resume: bool
    ) -> None:
        self.config, self.train, self.held = config, train, held
        if len(train.values) < config.training.batch_size:
            raise InputError(
                f"data.clips is {len(train.values)}, training.batch_size {config.training.batch_size}; "
                "use as many clips or more"
            )
        torch.manual_seed(config.seed)
        network = GainNetwork(config.units)
        if config.training.initial and not resume:
            networks.load(network, Path(config.training.initial) / WEIGHTS)
        optimiser = torch.optim.Adam(network.parameters(), config.training.learning_rate)
        super().__init__(folder, network, optimiser, best=math.inf)

    def step(self, number: int) -> Tensor:
        """Update the weights; clips, their parts and silent bands depend on the seed and the step alone."""
        settings, clips = self.config.training, len(self.train.values)
        epoch, place = divmod(number, clips // settings.batch_size)
        order = np.random.default_rng([self.config.seed, 0, epoch]).permutation(clips)
        chosen = order[place * settings.batch_size :][: settings.batch_size]
        random = np.random.default_rng([self.config.seed, 1, number])
        length = min(settings.points, self.train.values.shape[1])
        start = int(random.integers(self.train.values.shape[1] - length + 1))
        part = slice(start, start + length)
        values = torch.from_numpy(self.train.values[chosen, part].astype(np.float32))
        clean = torch.from_numpy(self.train.clean[chosen, part].astype(np.float32))
        for row in np.flatnonzero(random.random(len(chosen)) < settings.silent_bands):
            kept = int(random.integers(FEWEST_BANDS, BANDS))
            values[row, :, FLOOR - BANDS + kept : FLOOR] = LOWEST
            values[row, :, FLOOR + kept :] = LOWEST_EXCESS
            clean[row, :, kept:] = 0
        error = self._loss(values, clean)
        rate = settings.learning_rate * warmed_cosine(number, settings.steps, settings.warmup_steps, FINAL)
        descend(error, self.optimiser, rate, CLIP_NORM)
        self.count(error.item())
        return error.detach()

    def _loss(self, values: Tensor, clean: Tensor) -> Tensor:
        settings = self.config.training
        return loss(self.network(values), values, clean, settings.spare, settings.depth)

    @torch.no_grad()
    def validate(self) -> float:
        """Return the loss on the validation examples."""
        values, clean = (torch.from_numpy(each.astype(np.float32)) for each in self.held)
        errors = [
            self._loss(some, target) * len(some)
            for some, target in zip(values.split(25), clean.split(25), strict=True)
        ]
        return float(sum(errors)) / len(values)

    def checkpoint(self, done: int, late: bool) -> None:
        """Validate, but not where only time is up, and write the weights and the checkpoint."""
        settings = self.config.training
        if done % settings.validate_steps == 0 or done == settings.steps:
            values = {"loss": self.mean_loss(), "validation_loss": self.validate()}
            self.log(values, decimals=5)
            if values["validation_loss"] < self.best:
                self.best = values["validation_loss"]
                networks.save(self.network, self.folder / "best" / WEIGHTS)
                run_folder.write_best(self.folder, {"step": done, **values})
        networks.save(self.network, self.folder / "last" / WEIGHTS)
        self.write_checkpoint()
