"""Metric-guided training (arXiv 2510.11395): a clip's measured quality says how much to activate for it.

DNSMOS OVRL scores the noisy input, without a gradient: it only labels. A worse input gets a higher target for
the share of dynamic parts that its frames activate. The paper's formulas are not known; these are ours, see
docs/systems/ftf_net.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.plan import Site


@dataclass(frozen=True)
class GuidanceConfig:
    """How a quality becomes a target. The mean of the targets is what `RoutingConfig.target` asks for.

    Attributes:
        mixtures: of the pool that is labelled once, and trained on; 0 guides nothing.
        worst, best: DNSMOS OVRL at which the target is the highest and the lowest; between them it is linear.
            0 takes the 5th and the 95th percentile of the pool.
        lowest, highest: targets there, shares of the dynamic parts in [0, 1], before all are scaled to the
            mean. Where they are equal, each clip has the same target: no metric is asked.
    """

    mixtures: int = 0
    worst: float = 0.0
    best: float = 0.0
    lowest: float = 0.1
    highest: float = 0.9

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: scores or targets that are in no order, or out of range.
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
    def labels(self) -> bool:
        """Whether a metric labels the pool."""
        return self.mixtures > 0 and self.lowest < self.highest


def labeller(sample_rate: int) -> Callable[[Tensor], Tensor]:
    """What scores noisy clips, (batch, 1, time) -> (batch,) DNSMOS OVRL; on the CPU, the same each time.

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
    """With `worst` and `best` as the 5th and the 95th percentile of a pool (example,), unless they are given.

    Raises:
        InputError: the pool's labels are all the same.
    """
    if config.best:
        return config
    worst, best = (round(value, 3) for value in ovrl.quantile(torch.tensor([0.05, 0.95])).tolist())
    if not worst < best:
        raise InputError(f"the mixtures all have DNSMOS OVRL {worst}; give training.guidance.worst and best")
    return replace(config, worst=worst, best=best)


def targets(ovrl: Tensor, config: GuidanceConfig, mean: float | None = None) -> Tensor:
    """Share of the dynamic parts to activate for inputs of these qualities.

    Args:
        ovrl: (example,) DNSMOS OVRL of the noisy inputs; of no meaning where all have the same target.
        config: maps a quality to a share.
        mean: that the targets are to have, in (0, 1); None leaves them as they are. Targets below it are
            scaled by one factor, or their distances from 1 are, so that their order and range are kept.

    Returns:
        (example,) in [0, 1].

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
    """Share of the dynamic parts that so much of the scalable compute activates; 0: static parts only."""
    static = sum(site.shares[0] for site in sites) / len(sites)
    return (utilization - static) / (1 - static)


def guidance(activated: Tensor, wanted: Tensor) -> Tensor:
    """Mean over a batch of the squared distance of each clip's mean activation from its target.

    With the same target for all clips this is a fixed ratio, the control without a metric.

    Args:
        activated: (batch, frame), see `activation`; its gradient reaches the policy.
        wanted: (batch,), see `targets`.
    """
    return (activated.mean(1) - wanted.to(activated)).square().mean()


def noise_correlation(utilization: Tensor, noise_db: Tensor) -> Tensor:
    """Correlation over clips, (clip,) each, of utilization and noise level; 0 where one of them is constant.

    Clips whose noise level is not finite are left out.
    """
    known = noise_db.isfinite()
    pair = torch.stack([utilization[known], noise_db[known]])
    if pair.shape[1] < 2:
        return utilization.new_zeros(())
    return torch.corrcoef(pair)[0, 1].nan_to_num(0.0)
