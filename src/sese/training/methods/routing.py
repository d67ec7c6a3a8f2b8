"""Train a router together with its backbone (Adaptive Slimming, DSN): it samples the level of each frame.

arXiv 2507.04879 trains with `L_SE + beta * L_Eff + gamma * L_Bal` (beta = 1, gamma = 0.1) and gives neither
formula. The formulas here are compared in docs/systems/adaptive_slimming.md.

With guidance (metric-guided training, arXiv 2510.11395) the measured quality of a clip says how much to
activate for it. DNSMOS OVRL scores the noisy input without a gradient: it only labels. A worse input gets a
higher target for the share of dynamic parts that its frames activate. The paper's formulas are not known;
ours are in docs/systems/ftf_net.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.data.batches import ComputeMixtures
from sese.data.labelled_pool import LabelledPool, label_pool
from sese.data.mixing import Mixer, Mixture
from sese.nn.enhancer import Enhancer
from sese.nn.plan import Site, utilization
from sese.nn.policies.choice import gumbel
from sese.training.methods.levels import mean_score
from sese.training.methods.method import Method
from sese.training.methods.random_level import RandomLevelConfig, check_shares, random_levels

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.data import MixtureData
    from sese.training.task import EnhancementTask


@dataclass(frozen=True)
class RoutingConfig:
    """Configuration of a router's training.

    Attributes:
        target: Mean utilization that the efficiency loss pulls towards, in (0, 1].
        efficiency_weight, balance_weight: Weights beta and gamma.
        efficiency: Distance from the target: ``square``, ``absolute``, or ``one_sided``, which does not pull
            from below.
        balance: ``switch`` (load balancing of Switch Transformers, arXiv 2101.03961) or ``kl`` (divergence
            of the mean probabilities from equal shares).
        temperature, final_temperature: Temperature of the Gumbel-softmax at the first and the last step;
            between them it changes by the same factor in every step.
        fixed_share: Share of the examples that run at one random level (`random_level.shares`) instead of
            routed ones, so that every level stays good on its own.
        learning_rate: Learning rate of the policy as a multiple of `training.learning_rate`.
    """

    target: float = 0.25
    efficiency_weight: float = 1.0
    balance_weight: float = 0.1
    efficiency: Literal["square", "absolute", "one_sided"] = "square"
    balance: Literal["switch", "kl"] = "switch"
    temperature: float = 1.0
    final_temperature: float = 1.0
    fixed_share: float = 0.0
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range.
        """
        if not 0 < self.target <= 1:
            raise InputError(f"training.routing.target is {self.target}; use a utilization above 0, up to 1")
        at_least(self, 0, "training.routing", "efficiency_weight", "balance_weight")
        above_zero(self, "training.routing", "temperature", "final_temperature", "learning_rate")
        if not 0 <= self.fixed_share < 1:
            raise InputError(f"training.routing.fixed_share is {self.fixed_share}; use a share below 1")

    def temperature_at(self, done: float) -> float:
        """Return the temperature at a point of the training.

        Args:
            done: Share of the steps that are done, in [0, 1].
        """
        return self.temperature * (self.final_temperature / self.temperature) ** done


@dataclass(frozen=True)
class GuidanceConfig:
    """Configuration of guidance by a metric. The mean of all targets is `routing.target`.

    Attributes:
        mixtures: Number of mixtures, which are labelled once and trained on; 0 for no guidance.
        worst, best: DNSMOS OVRL at which the target is the highest and the lowest, linear between them; 0 for
            the 5th and the 95th percentile of the mixtures.
        lowest, highest: Targets there, as shares of the dynamic parts in [0, 1], before all are scaled to the
            mean. Where they are equal, each clip has the same target and no metric is needed.
    """

    mixtures: int = 0
    worst: float = 0.0
    best: float = 0.0
    lowest: float = 0.1
    highest: float = 0.9

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: scores or targets out of order, or out of range.
        """
        if self.mixtures < 0:
            raise InputError(f"training.guidance.mixtures is {self.mixtures}; use 0 (no guidance) or more")
        if (self.worst, self.best) != (0, 0) and not 1 <= self.worst < self.best <= 5:
            raise InputError(
                f"training.guidance goes from OVRL {self.worst} to {self.best}; give two growing scores in "
                "1 to 5, or 0 for both"
            )
        if not 0 <= self.lowest <= self.highest <= 1:
            raise InputError(
                f"training.guidance has targets from {self.lowest} to {self.highest}; "
                "give two growing shares in 0 to 1"
            )

    @property
    def in_use(self) -> bool:
        """Whether clips have targets of their own."""
        return self.mixtures > 0

    @property
    def labels(self) -> bool:
        """Whether a metric labels the mixtures."""
        return self.mixtures > 0 and self.lowest < self.highest


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the losses of routed examples and of those at fixed levels; only the former pay for compute."""
    noisy, settings = batch.noisy, task.config.training.routing
    fixed = round(settings.fixed_share * noisy.shape[0])
    levels = F.one_hot(random_levels(task, fixed, generator), task.levels).unsqueeze(1) if fixed else None
    draw = gumbel(settings.temperature_at(task.done), generator)

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        choice, memory = draw(scores, memory)
        if levels is not None:
            choice = torch.cat([levels.expand(-1, choice.shape[1], -1).to(choice), choice[fixed:]])
        return choice, memory

    enhanced = task.model.run_clip(noisy, None, choose)
    assert enhanced.scores is not None
    used = utilization(enhanced.plan, task.model.sites)[fixed:]
    task.log("train/utilization", used.detach().mean())
    if batch.label is None:
        cost = efficiency(used, settings)
    else:
        cost = guidance(activation(used, task.model.sites), batch.label[fixed:])
    return task.losses(enhanced.audio, batch.clean, noisy) | {
        "efficiency": settings.efficiency_weight * cost,
        "balance": settings.balance_weight * balance(enhanced.scores[fixed:], settings),
    }


def score(task: EnhancementTask, means: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of the levels and of the router's choice, weighted by their shares of the examples."""
    settings = task.config.training.routing
    cost = settings.efficiency_weight * efficiency(means["val/utilization"], settings)
    decided = means["val/loss/routed"] + cost
    return settings.fixed_share * mean_score(task, means) + (1 - settings.fixed_share) * decided


def check(config: RunConfig) -> None:
    """Check that there is a router, and the shares of the fixed examples.

    Raises:
        InputError: there is none, or there are more or fewer shares than levels.
    """
    check_router(config)
    check_shares(config)


def check_router(config: RunConfig) -> None:
    """Check that the model has a router.

    Raises:
        InputError: it has none.
    """
    if not getattr(config.model, "router_channels", 0):
        raise InputError(
            f"training.method is '{config.training.method}' and the model has no router; "
            "set model.router_channels"
        )


def efficiency(utilization: Tensor, config: RoutingConfig) -> Tensor:
    """Return the distance of the mean utilization from the target.

    Args:
        utilization: Utilization (batch, frame), or any other shape.
        config: Target and formula.

    Example:
        >>> float(efficiency(torch.tensor([0.5, 0.5]), RoutingConfig(target=0.25)))
        0.0625
    """
    distance = utilization.mean() - config.target
    if config.efficiency == "absolute":
        return distance.abs()
    if config.efficiency == "one_sided":
        return distance.clamp_min(0.0)
    return distance.square()


def balance(scores: Tensor, config: RoutingConfig) -> Tensor:
    """Return how unevenly the levels are used; lowest for equal shares.

    ``switch`` is levels * sum over levels of (share of the frames that score it best) * (mean probability),
    1 for equal shares.

    Args:
        scores: Scores (batch, frame, level).
        config: Formula.
    """
    probability = torch.softmax(scores, dim=-1).flatten(0, -2).mean(0)
    if config.balance == "kl":
        return (probability * (probability * len(probability)).clamp_min(1e-9).log()).sum()
    chosen = torch.bincount(scores.detach().argmax(-1).flatten(), minlength=len(probability))
    return len(probability) * (chosen / chosen.sum() * probability).sum()


def labeller(sample_rate: int) -> Callable[[Tensor], Tensor]:
    """Return a function that scores noisy clips: (batch, 1, time) -> (batch,) DNSMOS OVRL.

    It runs on the CPU and gives the same scores each time.

    Args:
        sample_rate: Sample rate of the clips in Hz.

    Raises:
        InputError: the sample rate is not 16 kHz, or the package `speechmos` or `onnx` is not installed.
    """
    from sese.evaluation.dnsmos import SAMPLE_RATE, dnsmos_ovrl, model_folder

    if sample_rate != SAMPLE_RATE:
        raise InputError(f"DNSMOS labels audio at {SAMPLE_RATE} Hz, not {sample_rate} Hz; train at that rate")
    model_folder()

    def label(noisy: Tensor) -> Tensor:
        rows = noisy.detach().squeeze(1).float().cpu().numpy()
        return torch.tensor([dnsmos_ovrl(row) for row in rows])

    return label


def percentiles(config: GuidanceConfig, ovrl: Tensor) -> GuidanceConfig:
    """Return a configuration with `worst` and `best` from percentiles of labels, unless they are given.

    Args:
        config: Configuration of the guidance.
        ovrl: DNSMOS OVRL (example,) of the mixtures.

    Raises:
        InputError: all labels are the same.
    """
    if config.best:
        return config
    worst, best = (round(value, 3) for value in ovrl.quantile(torch.tensor([0.05, 0.95])).tolist())
    if not worst < best:
        raise InputError(f"the mixtures all have DNSMOS OVRL {worst}; give training.guidance.worst and best")
    return replace(config, worst=worst, best=best)


def targets(ovrl: Tensor, config: GuidanceConfig, mean: float | None = None) -> Tensor:
    """Return the share of the dynamic parts to activate for inputs of these qualities.

    Args:
        ovrl: DNSMOS OVRL (example,) of the noisy inputs; any values where all have the same target.
        config: Mapping from quality to share.
        mean: Mean that the targets are to have, in (0, 1); None leaves them as they are. Targets below it are
            scaled by one factor, or their distances from 1 are, so that their order and range are kept.

    Returns:
        Targets (example,) in [0, 1].

    Raises:
        InputError: a mean out of its range.
    """
    if mean is not None and not 0 < mean < 1:
        raise InputError(f"the mean activation is {mean:.3g}; raise or lower training.routing.target")
    bad = (config.best - ovrl) / max(config.best - config.worst, 1e-6)
    shares = config.lowest + (config.highest - config.lowest) * bad.clamp(0.0, 1.0)
    if mean is None:
        return shares
    now = shares.mean()
    if now >= mean:
        return shares * (mean / now)
    return 1 - (1 - shares) * ((1 - mean) / (1 - now))


def activation(utilization: Tensor, sites: tuple[Site, ...]) -> Tensor:
    """Return the share of the dynamic parts that a utilization activates; 0 for static parts only."""
    static = sum(site.shares[0] for site in sites) / len(sites)
    return (utilization - static) / (1 - static)


def guidance(activated: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared distance of each clip's mean activation from its target.

    With the same target for all clips this is a fixed ratio, the control without a metric.

    Args:
        activated: Activation (batch, frame), see `activation`; its gradient reaches the policy.
        wanted: Targets (batch,), see `targets`.
    """
    return (activated.mean(1) - wanted.to(activated)).square().mean()


def prepare_data(data: MixtureData) -> None:
    """Label the mixtures where a metric guides; the other processes read the labels from the cache."""
    if data.config.training.guidance.labels:
        data.setup("fit")
        _labels(data)


def mixtures(data: MixtureData, mixer: Mixer) -> ComputeMixtures:
    """Return what makes the examples: the mixer, or with guidance a pool of mixtures with their targets."""
    if not data.config.training.guidance.in_use:
        return mixer
    return LabelledPool(mixer, _targets(data))


def _labels(data: MixtureData) -> Tensor:
    """Return DNSMOS OVRL of the mixtures, float32 (example,)."""
    config = data.config
    label = labeller(config.model.sample_rate)
    count, cache = config.training.guidance.mixtures, config.data.cache_dir or None
    return label_pool(data.mixer("cpu"), count, "dnsmos-ovrl", label, cache)


def _targets(data: MixtureData) -> Tensor:
    """Return the target of each mixture, and write what they follow from into the run's folder."""
    config, trainer = data.config.training.guidance, data.trainer
    assert trainer is not None
    model = trainer.lightning_module.model
    assert isinstance(model, Enhancer)
    mean = activation(torch.tensor(data.config.training.routing.target), model.sites).item()
    if config.labels:
        labels = _labels(data)
        config = percentiles(config, labels)
    else:
        labels = torch.ones(config.mixtures)
    shares = targets(labels, config, mean)
    if trainer.is_global_zero:
        noted = asdict(config) | {"mean": mean, "least": shares.min().item(), "most": shares.max().item()}
        (Path(trainer.default_root_dir) / "guidance.json").write_text(json.dumps(noted))
    return shares


METHOD = Method(
    losses,
    score,
    {"routing": RoutingConfig, "guidance": GuidanceConfig, "random_level": RandomLevelConfig},
    check,
    trains_policy=True,
    prepare_data=prepare_data,
    mixtures=mixtures,
)
