"""Training of a quality predictor: one loop, resumable, over labelled clips in memory."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sese.core.errors import InputError
from sese.predictor.design import Design
from sese.quality import network as networks
from sese.quality.clips import Clips, labelled, spectrograms
from sese.quality.config import QualityConfig
from sese.quality.network import QualityNetwork
from sese.quality.scores import MEASURES
from sese.training import run_folder
from sese.training.in_memory import InMemoryTraining, train_in_memory
from sese.training.loop import descend
from sese.training.schedule import warmed_cosine

SETTLED = 64  # clips that the fresh weights are scaled on
FINAL = 0.01  # share of the peak learning rate at the last step


def train(
    config: QualityConfig,
    folder: Path,
    resume: bool = False,
    max_minutes: float | None = None,
    jobs: int = 1,
) -> bool:
    """Train a predictor, or go on training; clips that are not labelled yet are labelled first.

    The folder gets `config.yaml`, `metrics.jsonl`, `checkpoints/last.ckpt` (to resume from), and two
    networks: `last/` and `best/` (by Pearson's correlation on the validation clips).

    Args:
        config: the run.
        folder: folder of the run.
        resume: go on from the last checkpoint; the result is that of a run that was never stopped.
        max_minutes: stop cleanly after this long.
        jobs: processes that label clips.

    Returns:
        Whether every step is done.

    Raises:
        InputError: a run lies there and is not to be resumed, nothing lies there to resume, or the clips
            cannot be made.
    """

    def begin(pair: tuple[Clips, Clips]) -> _Run:
        train, validation = (_features(config, clips) for clips in pair)
        return _Run(config, folder, train, validation, initial=not resume)

    return train_in_memory(
        config, folder, resume, max_minutes, lambda: labelled(config, jobs, max_minutes), begin
    )


def _features(config: QualityConfig, clips: Clips) -> tuple[Tensor, Tensor]:
    """Return spectrograms float16 (clip, band, frame) and PESQ float32 (clip,) of scored clips.

    Raises:
        InputError: none has.
    """
    scored = np.flatnonzero(np.isfinite(clips.labels["pesq"]))
    if not len(scored):
        raise InputError(
            f"none of {len(clips)} clips of '{clips.speakers[0]}' and others has a PESQ; "
            "give other speech in data.train and data.validation, or longer clips"
        )
    if len(scored) < len(clips):
        print(f"{len(clips) - len(scored)} of {len(clips)} clips have no PESQ and are left out", flush=True)
    mel = torch.from_numpy(spectrograms(clips, config.network)[scored])
    return mel, torch.from_numpy(clips.labels["pesq"][scored])


@torch.no_grad()
def predict(network: QualityNetwork, mel: Tensor, at_once: int = 64) -> Tensor:
    """Return scores float32 (clip,) of spectrograms (clip, band, frame)."""
    network.eval()
    return torch.cat([network(part.float()) for part in mel.split(at_once)])


class _Run(InMemoryTraining):
    """A training at some step."""

    network: QualityNetwork

    def __init__(
        self,
        config: QualityConfig,
        folder: Path,
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        initial: bool,
    ):
        self.config, self.clips, self.held = config, train, validation
        torch.manual_seed(config.seed)
        network = QualityNetwork(config.network, config.training.dropout)
        some = train[0][:SETTLED].float()
        if config.training.initial and initial:
            trained = networks.load(Path(config.training.initial))
            if sizes(trained.design) != sizes(config.network):
                raise InputError(f"training.initial: {config.training.initial} has a network of other sizes")
            networks.take_over(network, trained, some)
        else:
            networks.settle(network, some)
            with torch.no_grad():  # at the mean, which the last bias would take hundreds of steps to find
                last = network.get_parameter(f"dense.{len(network.dense) - 1}.bias")
                last.fill_(train[1].mean())
        optimiser = torch.optim.Adam(network.parameters(), config.training.learning_rate)
        super().__init__(folder, network, optimiser, best=-math.inf)

    def checkpoint(self, done: int, late: bool) -> None:
        """Validate, but not where only time is up, and write the checkpoint."""
        settings = self.config.training
        if done % settings.validate_steps == 0 or done == settings.steps:
            self.validate()
        networks.save(self.folder / "last", self.config.network, self.network.state_dict())
        self.write_checkpoint()

    def step(self, number: int) -> None:
        """Update the weights; clips, their shifts and dropout depend on the seed and the step alone."""
        settings, step = self.config.training, number
        mel, pesq = self.clips
        size = min(settings.batch_size, len(pesq))
        epoch, place = divmod(step, len(pesq) // size)
        order = np.random.default_rng([self.config.seed, 0, epoch]).permutation(len(pesq))
        rows = torch.from_numpy(order[place * size : (place + 1) * size])
        shift = np.random.default_rng([self.config.seed, 1, step]).integers(mel.shape[2], size=size)
        # PESQ hardly changes when a clip begins elsewhere and goes round.
        batch = torch.stack([mel[row].roll(int(s), 1) for row, s in zip(rows, shift, strict=True)]).float()
        torch.manual_seed(hash((self.config.seed, step)))
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            made = self.network(batch)
        loss = F.mse_loss(made.float(), pesq[rows])
        share = warmed_cosine(step, settings.steps, settings.warmup_steps, FINAL)
        descend(loss, self.optimiser, settings.learning_rate * share)
        self.count(loss.item())
        if self.done % settings.log_steps == 0:
            self.log({"loss": self.mean_loss()}, decimals=4)

    def validate(self) -> None:
        """Note the measures on the validation clips, and keep the best network."""
        mel, pesq = self.held
        made = predict(self.network, mel).double().numpy()
        values = {name: function(made, pesq.double().numpy()) for name, function in MEASURES.items()}
        self.log(values, decimals=4)
        if values["pearson"] > self.best:
            self.best = values["pearson"]
            networks.save(self.folder / "best", self.config.network, self.network.state_dict())
            run_folder.write_best(self.folder, {"step": self.done, **values})


def sizes(design: Design) -> Design:
    """Return a design without its choice of activation."""
    return dataclasses.replace(design, activation="relu", beta=1.0)
