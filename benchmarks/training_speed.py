"""Measure the speed of training on one core: seconds of audio per second, of whole steps.

    python benchmarks/training_speed.py spectral_mixer/base sese_2/base
    python benchmarks/training_speed.py spectral_mixer/base sese_2/base --set training.batch_size=8
    python benchmarks/training_speed.py sese_2/base --set "data.train=[CORPUS]"

A step is that of a run: mix a batch, run the training method with its losses, compute gradients and clip
them, and let AdamW change the weights. The data are synthetic unless corpora are given. In each round, each
configuration runs the same number of steps. The order is random, so that a machine whose speed drifts slows
all of them. The ratios to the first configuration are the figures to quote.

Networks of different sizes are compared at equal compute: seconds of audio per second, times the mean MACs of
the levels of the rows of a batch. A routed training runs all of the network under masks, so the MACs of the
highest level count. A configuration of a gated mixer or of DEMUCS has a second row without C kernels.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from sese.core import tables
from sese.core.errors import InputError
from sese.nn.backbones.demucs import Demucs
from sese.nn.backbones.gated_mixer import GatedMixer
from sese.nn.cost import macs_per_sample
from sese.nn.layers import kernels
from sese.nn.policies.fixed import level_plans
from sese.training.config import RunConfig, read
from sese.training.data import MixtureData
from sese.training.process import prepare
from sese.training.task import EnhancementTask

METHODS = ("random_level", "all_levels", "full", "routing")
"""Values of `training.method` whose mean MACs are known beforehand."""

WITH_KERNELS = GatedMixer, Demucs
"""Backbones that train by C kernels."""

AUTOCAST = {"bf16-mixed": torch.bfloat16, "32-true": None}
"""Precisions that are run, and the type that they cast to."""


@dataclass
class Training:
    """A run without Lightning, which counts and times its steps.

    Args:
        config: Configuration of the run.
        name: Name in the table.
        kernels: Whether the C kernels are used.
    """

    config: RunConfig
    name: str
    kernels: bool = True
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.config.seed)
        self.task = _Task(self.config)
        data = MixtureData(self.config)
        data.setup("fit")
        self.mixer = data.mixer("cpu")
        made = self.task.configure_optimizers()
        self.optimizer, self.scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]

    def step(self) -> None:
        """Run one step."""
        settings, first = self.config.training, self.task.step * self.config.training.batch_size
        batch = self.mixer(range(first, first + settings.batch_size))
        dtype = AUTOCAST[settings.precision]
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            loss = self.task.training_step(batch, self.task.step)
        self.optimizer.zero_grad()
        loss.backward()
        self.task.on_before_optimizer_step(self.optimizer)
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(self.task.model.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.task.step += 1

    def turn(self, steps: int) -> None:
        """Run some steps and store the time of one."""
        with _kernels(self.kernels):
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(steps):
                self.step()
            self.cpu.append((time.process_time() - cpu) / steps)
            self.wall.append((time.perf_counter() - wall) / steps)

    @property
    def seconds(self) -> float:
        """Seconds of audio in a step."""
        return self.config.training.batch_size * self.config.data.mix.seconds

    @property
    def macs(self) -> float:
        """Mean MACs per second of audio over the levels of the rows."""
        model, settings = self.task.model, self.config.training
        costs = [macs_per_sample(model, plan) * model.sample_rate for plan in level_plans(model)]
        if settings.method == "all_levels":
            return sum(costs)
        if settings.method in ("full", "routing"):
            return costs[-1]
        shares = settings.random_level.shares or (1 / len(costs),) * len(costs)
        return sum(share * cost for share, cost in zip(shares, costs, strict=True))


class _Task(EnhancementTask):
    """The training task without a trainer: it counts its own steps and logs nothing."""

    step = 0

    @property
    def global_step(self) -> int:
        """Number of steps so far."""
        return self.step

    def log(self, *_: object, **__: object) -> None:
        """Log nothing."""

    def log_dict(self, *_: object, **__: object) -> None:
        """Log nothing."""


@contextmanager
def _kernels(used: bool) -> Iterator[None]:
    """Turn the C kernels on or off within a context."""
    on = kernels.on
    if not used:
        kernels.on = lambda x: False
    try:
        yield
    finally:
        kernels.on = on


def trainings(paths: Sequence[Path], overrides: Sequence[str]) -> list[Training]:
    """Read the configurations; a backbone with kernels gets a second training without them.

    Raises:
        InputError: A configuration cannot be read, or cannot be timed here.
    """
    made = []
    for path in paths:
        config = read(path, overrides)
        settings, data = config.training, config.data
        if settings.method not in METHODS:
            raise InputError(f"{path}: training.method is '{settings.method}'; timed are {list(METHODS)}")
        if settings.precision not in AUTOCAST:
            raise InputError(
                f"{path}: training.precision is '{settings.precision}'; timed are {list(AUTOCAST)}"
            )
        if not (data.train or data.speech):
            config = replace(config, data=replace(data, synthetic=True))
        first = Training(config, config.name)
        made.append(first)
        compiles = isinstance(first.task.model.backbone, WITH_KERNELS)
        if compiles and AUTOCAST[settings.precision] is not None and kernels.library() is not None:
            made.append(Training(config, f"{config.name}, kernels off", kernels=False))
    return made


def run(runs: Sequence[Training], rounds: int, steps: int) -> None:
    """Run all trainings in turn, after a round that is not counted."""
    for turn in range(rounds + 1):
        for training in random.sample(list(runs), len(runs)):
            training.turn(steps if turn else 1)
            if not turn:
                training.cpu.clear()
                training.wall.clear()


def table(runs: Sequence[Training]) -> list[str]:
    """Return lines of a Markdown table: medians over rounds, and ratios to the first within each round."""
    names = [
        "configuration",
        "clips, s",
        "MMAC/s, mean",
        "CPU ms a step",
        "audio-s/s, CPU",
        "audio-s/s, wall",
    ]
    names += ["audio-s/s times MACs, GMAC/s", "ratio of audio-s/s", "ratio at equal MACs"]
    rows = []
    first = runs[0]
    for training in runs:
        cpu, wall = statistics.median(training.cpu), statistics.median(training.wall)
        speeds = [
            first_taken / taken * training.seconds / first.seconds
            for first_taken, taken in zip(first.cpu, training.cpu, strict=True)
        ]
        ratio, equal = statistics.median(speeds), training.macs / first.macs
        settings = training.config
        cells = [
            training.name,
            f"{settings.training.batch_size} of {settings.data.mix.seconds:g}",
            f"{training.macs / 1e6:.0f}",
            f"{1e3 * cpu:.0f}",
            f"{training.seconds / cpu:.1f}",
            f"{training.seconds / wall:.1f}",
            f"{training.seconds / cpu * training.macs / 1e9:.1f}",
            f"{ratio:.2f} ({min(speeds):.2f} to {max(speeds):.2f})",
            f"{ratio * equal:.2f}",
        ]
        rows.append(cells)
    return tables.table(names, rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="+", type=Path, help="configurations of runs")
    parser.add_argument(
        "--set",
        action="append",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="values for all configurations",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="number of turns of each configuration [default: 5]"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=6,
        help="number of steps in a turn; a multiple of 3 takes each STFT size as often [default: 6]",
    )
    options = parser.parse_args()
    if min(options.rounds, options.steps) < 1:
        parser.error("--rounds and --steps are 1 or more")
    prepare(threads=1)
    try:
        runs = trainings(options.configs, list(itertools.chain.from_iterable(options.set)))
    except InputError as error:
        parser.error(str(error))
    run(runs, options.rounds, options.steps)
    print(f"One thread, medians of {options.rounds} rounds of {options.steps} steps\n")
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
