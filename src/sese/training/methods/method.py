"""Interface of a training method: its loss, and the points at which it may change the rest of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Generator, Tensor

from sese.core.errors import InputError
from sese.data.bank import Bank
from sese.data.batches import ComputeMixtures
from sese.data.mixing import Mixer, Mixture
from sese.data.mixture_sampler import MixtureSampler
from sese.training.run_folder import LAST

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhanced
    from sese.training.config import RunConfig, TrainingConfig
    from sese.training.data import MixtureData
    from sese.training.task import EnhancementTask

Losses = dict[str, Tensor]
"""Losses of a step by name, scalars; a step minimises their sum."""


def _nothing(*_: Any) -> None:
    """Do nothing."""


def _no_steps(*_: Any) -> Any:
    """Stand in for the functions of a step, in a method that trains by `run`."""
    raise NotImplementedError("this method trains by `run`")


def _no_values(*_: Any) -> dict[str, Tensor]:
    """Return no further values."""
    return {}


def _all_speech(config: RunConfig, speech: Bank) -> Bank:
    """Return the bank as it is."""
    return speech


def _unlabelled(config: RunConfig, speech: Bank) -> Callable[[Mixture], Mixture]:
    """Return a function that returns mixtures as they are."""
    return lambda mixture: mixture


def _mixer(data: MixtureData, mixer: Mixer) -> ComputeMixtures:
    """Return the mixer itself."""
    return mixer


def _routing_rate(training: TrainingConfig) -> float:
    """Return the learning rate of a policy in `training.routing`."""
    return float(training.routing.learning_rate)


@dataclass(frozen=True)
class Method:
    """A training method.

    Most methods give `losses`, `score` and `check`. Each other attribute is one point at which a method may
    change the training; its default changes nothing.

    Attributes:
        losses: (task, batch, generator) -> losses of a step. The generator is on the CPU. It depends on the
            seed and the step alone, so that a resumed run makes the same step.
        score: (task, means of the validation by name) -> value that chooses the best weights, the lowest one.
        settings: Sections of `training` that the method reads: name -> dataclass.
        check: (config) -> None. Raises InputError for a configuration that the method cannot train.
        kinds: Kinds of network that the method can train, see `kind` of a system's configuration; "" is a
            network without a kind.
        uses: Names of the values of `training` that the method uses, beside `settings`; None for all.
        distills: Whether it uses `training.distill`.
        trains_policy: Whether the method can train the policy alone (`training.train_only: policy`).
        policy_rate: (training) -> learning rate of the policy as a multiple of `training.learning_rate`.
        helper: (task) -> object that the steps need beside the model; kept as `task.helper`.
        start: (task) -> None. Called once before the first step of a run that starts from fresh weights.
        validate: (task, batch, decided) -> further values of the validation by name, each (row,) or (1,).
            `decided` is the output with the policy's own decisions; None without a policy.
        sampler: Class that specifies training examples by their numbers.
        speech: (config, bank) -> bank of the speech that is used.
        label: (config, bank) -> function that gives mixtures of that bank their label.
        prepare_data: (data) -> None. Called in one process before the others set up their data.
        mixtures: (data, mixer) -> function that makes the training examples of given numbers.
        run: (config, folder, data, max_minutes) -> whether every step is done. The whole training, for
            a method without losses of a step.
        resumes_from: File in a run's folder that a stopped run continues from.

    Example:
        >>> from sese.training.methods import METHODS
        >>> sorted(METHODS["routing"].settings)
        ['guidance', 'random_level', 'routing']
    """

    losses: Callable[[EnhancementTask, Mixture, Generator], Losses] = _no_steps
    score: Callable[[EnhancementTask, Mapping[str, Tensor]], Tensor] = _no_steps
    settings: Mapping[str, type[Any]] = field(default_factory=dict)
    check: Callable[[RunConfig], None] = _nothing
    kinds: tuple[str, ...] = ("",)
    uses: frozenset[str] | None = None
    distills: bool = False
    trains_policy: bool = False
    policy_rate: Callable[[TrainingConfig], float] = _routing_rate
    helper: Callable[[EnhancementTask], Any] = _nothing
    start: Callable[[EnhancementTask], None] = _nothing
    validate: Callable[[EnhancementTask, Mixture, Enhanced | None], dict[str, Tensor]] = _no_values
    sampler: type[MixtureSampler] = MixtureSampler
    speech: Callable[[RunConfig, Bank], Bank] = _all_speech
    label: Callable[[RunConfig, Bank], Callable[[Mixture], Mixture]] = _unlabelled
    prepare_data: Callable[[MixtureData], None] = _nothing
    mixtures: Callable[[MixtureData, Mixer], ComputeMixtures] = _mixer
    run: Callable[[RunConfig, Path, MixtureData, float | None], bool] | None = None
    resumes_from: str = LAST

    @property
    def reads_routing_rate(self) -> bool:
        """Return whether the learning rate of a policy is that of `training.routing`."""
        return self.policy_rate is _routing_rate and self.run is None


def check_policy_alone(config: RunConfig) -> None:
    """Check that only the policy is set to be trained, for a method that trains nothing else.

    Raises:
        InputError: `training.train_only` is not the policy.
    """
    if config.training.train_only != ("policy",):
        raise InputError(
            f"training.method is '{config.training.method}', which trains the policy alone; "
            "set train_only: policy"
        )
