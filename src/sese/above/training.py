"""Training of the network above a model's band: one loop, resumable, over examples in memory."""

from __future__ import annotations

import math
import time
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
from sese.training.config_file import dump
from sese.training.loop import Training, descend, run_steps
from sese.training.run_folder import LAST
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
    run_folder.check(folder, config, resume)
    started, settings = time.monotonic(), config.training
    if settings.threads:
        torch.set_num_threads(settings.threads)
    pair = examples(config, max_minutes)
    if pair is None:
        return False
    run = _Run(config, folder, *pair, resume)
    if resume:
        run.restore(folder / LAST)
    run_folder.write_config(folder, dump(config))
    left = None if max_minutes is None else max_minutes - (time.monotonic() - started) / 60
    return run_steps(run, run.done, settings.steps, settings.validate_steps, left) == settings.steps


class _Run(Training):
    """A training at some step."""

    def __init__(
        self, config: AboveConfig, folder: Path, train: Examples, held: Examples, resume: bool
    ) -> None:
        self.config, self.folder, self.train, self.held = config, folder, train, held
        if len(train.values) < config.training.batch_size:
            raise InputError(
                f"data.clips is {len(train.values)}, training.batch_size {config.training.batch_size}; "
                "use as many clips or more"
            )
        torch.manual_seed(config.seed)
        self.network = GainNetwork(config.units)
        if config.training.initial and not resume:
            networks.load(self.network, Path(config.training.initial) / WEIGHTS)
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.training.learning_rate)
        self.done, self.best, self.losses, self.since = 0, math.inf, [0.0, 0.0], time.monotonic()

    def restore(self, checkpoint: Path) -> None:
        """Take up what `checkpoint` wrote."""
        with run_folder.restoring(checkpoint) as saved:
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.done, self.best = saved["step"], saved["best"]

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
        self.done = number + 1
        self.losses = [self.losses[0] + error.item(), self.losses[1] + 1]
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
            seconds, self.since = time.monotonic() - self.since, time.monotonic()
            values = {"loss": self.losses[0] / self.losses[1], "validation_loss": self.validate()}
            self.losses = [0.0, 0.0]
            text = "  ".join(f"{name} {value:.5f}" for name, value in values.items())
            print(f"step {done}  {text}  ({seconds:.0f} s)", flush=True)
            run_folder.note(self.folder, {"step": done, **values})
            if values["validation_loss"] < self.best:
                self.best = values["validation_loss"]
                networks.save(self.network, self.folder / "best" / WEIGHTS)
                run_folder.write_best(self.folder, {"step": done, **values})
        networks.save(self.network, self.folder / "last" / WEIGHTS)
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.done,
            "best": self.best,
        }
        run_folder.write_checkpoint(self.folder, state)
