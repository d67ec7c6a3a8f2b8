"""Training of a quality predictor: one loop, resumable, over labelled clips in memory."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.predictor.design import Design
from sese.quality import network as networks
from sese.quality.clips import Clips, labelled, spectrograms
from sese.quality.config import QualityConfig
from sese.quality.network import QualityNetwork
from sese.quality.scores import MEASURES
from sese.training import run_folder
from sese.training.config_file import dump
from sese.training.loop import Training, descend, run_steps
from sese.training.run_folder import LAST
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
    run_folder.check(folder, config, resume)
    started, settings = time.monotonic(), config.training
    if settings.threads:
        torch.set_num_threads(settings.threads)
    pair = labelled(config, jobs, max_minutes)
    if pair is None:
        return False
    train, validation = (_features(config, clips) for clips in pair)
    run = _Run(config, folder, train, validation, initial=not resume)
    if resume:
        run.restore(folder / LAST)
    run_folder.write_config(folder, dump(config))
    left = None if max_minutes is None else max_minutes - (time.monotonic() - started) / 60
    return run_steps(run, run.done, settings.steps, settings.validate_steps, left) == settings.steps


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


class _Run(Training):
    """A training at some step."""

    def __init__(
        self,
        config: QualityConfig,
        folder: Path,
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        initial: bool,
    ):
        self.config, self.folder, self.clips, self.held = config, folder, train, validation
        torch.manual_seed(config.seed)
        self.network = QualityNetwork(config.network, config.training.dropout)
        some = train[0][:SETTLED].float()
        if config.training.initial and initial:
            trained = networks.load(Path(config.training.initial))
            if sizes(trained.design) != sizes(config.network):
                raise InputError(f"training.initial: {config.training.initial} has a network of other sizes")
            networks.take_over(self.network, trained, some)
        else:
            networks.settle(self.network, some)
            with torch.no_grad():  # at the mean, which the last bias would take hundreds of steps to find
                last = self.network.get_parameter(f"dense.{len(self.network.dense) - 1}.bias")
                last.fill_(train[1].mean())
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.training.learning_rate)
        self.done, self.best, self.losses, self.since = 0, -math.inf, [0.0, 0], time.monotonic()

    def restore(self, checkpoint: Path) -> None:
        """Take up what `save` wrote."""
        with run_folder.restoring(checkpoint) as saved:
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.done, self.best = saved["step"], saved["best"]

    def save(self) -> None:
        """Write the checkpoint, and the network as it is."""
        networks.save(self.folder / "last", self.config.network, self.network.state_dict())
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.done,
            "best": self.best,
        }
        run_folder.write_checkpoint(self.folder, state)

    def checkpoint(self, done: int, late: bool) -> None:
        """Validate, but not where only time is up, and write the checkpoint."""
        settings = self.config.training
        if done % settings.validate_steps == 0 or done == settings.steps:
            self.validate()
        self.save()

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
        self.done = step + 1
        self.losses = [self.losses[0] + loss.item(), self.losses[1] + 1]
        if self.done % settings.log_steps == 0:
            self._log({"loss": self.losses[0] / self.losses[1]})
            self.losses = [0.0, 0]

    def validate(self) -> None:
        """Note the measures on the validation clips, and keep the best network."""
        mel, pesq = self.held
        made = predict(self.network, mel).double().numpy()
        values = {name: function(made, pesq.double().numpy()) for name, function in MEASURES.items()}
        self._log(values)
        if values["pearson"] > self.best:
            self.best = values["pearson"]
            networks.save(self.folder / "best", self.config.network, self.network.state_dict())
            record = {"step": self.done, **values}
            with replacing(self.folder / "best" / "score.json") as part:
                part.write_text(json.dumps(record) + "\n")

    def _log(self, values: dict[str, float]) -> None:
        seconds, self.since = time.monotonic() - self.since, time.monotonic()
        text = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"step {self.done}  {text}  ({seconds:.0f} s)", flush=True)
        run_folder.note(self.folder, {"step": self.done, **values})


def sizes(design: Design) -> Design:
    """Return a design without its choice of activation."""
    return dataclasses.replace(design, activation="relu", beta=1.0)
