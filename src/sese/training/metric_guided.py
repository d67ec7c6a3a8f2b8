"""Metric-guided training (arXiv 2510.11395): a clip's measured quality says how much to activate for it.

DNSMOS OVRL scores the noisy input, without a gradient: it only labels. A worse input gets a higher target for
the share of dynamic parts that its frames activate. The paper's formulas are not known; these are ours, see
docs/systems/ftf_net.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sese.data.mixing import Mixture
from sese.errors import InputError
from sese.nn.plan import Plan, Site, utilization


@dataclass(frozen=True)
class GuidanceConfig:
    """How a quality becomes a target.

    Attributes:
        worst, best: DNSMOS OVRL at which the target is the highest and the lowest; between them it is linear.
            Take the 5th and 95th percentile of the training mixtures.
        lowest, highest: targets there, shares of the dynamic parts in [0, 1].
    """

    worst: float = 1.7
    best: float = 3.3
    lowest: float = 0.1
    highest: float = 0.9

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: scores or targets that are in no order, or out of range.
        """
        if not 1 <= self.worst < self.best <= 5:
            raise InputError(
                f"guidance from OVRL {self.worst} to {self.best}; give two growing scores in 1 to 5"
            )
        if not 0 <= self.lowest <= self.highest <= 1:
            raise InputError(
                f"guidance to activations from {self.lowest} to {self.highest}; "
                "give two growing shares in 0 to 1"
            )


class Qualities(NamedTuple):
    """DNSMOS OVRL of a batch: noisy, clean: float32 [batch], 1 to 5."""

    noisy: Tensor
    clean: Tensor


def label(mixture: Mixture, sample_rate: int) -> Qualities:
    """Score mixtures and their targets; on the CPU, without a gradient, the same scores each time.

    Raises:
        InputError: the sample rate is not 16 kHz, or the package `speechmos` or `onnx` is not installed.
    """
    from sese.evaluation.dnsmos import SAMPLE_RATE, dnsmos_scores

    if sample_rate != SAMPLE_RATE:
        raise InputError(f"DNSMOS labels audio at {SAMPLE_RATE} Hz, not {sample_rate} Hz; train at that rate")

    def ovrl(audio: Tensor) -> Tensor:
        rows = audio.detach().squeeze(1).float().cpu().numpy()
        return torch.tensor([dnsmos_scores(row)["ovrl"] for row in rows])

    return Qualities(ovrl(mixture.noisy), ovrl(mixture.clean))


def targets(ovrl: Tensor, config: GuidanceConfig, mean: float | None = None) -> Tensor:
    """Share of the dynamic parts to activate for inputs of these qualities.

    Args:
        ovrl: (batch,) DNSMOS OVRL of the noisy inputs.
        config: maps a quality to a share.
        mean: that the batch's targets are to have, in (0, 1); None leaves them as they are. Targets below it
            are scaled by one factor, or their distances from 1 are, so that their order and range are kept.

    Returns:
        (batch,) in [0, 1].

    Raises:
        InputError: a mean out of its range.
    """
    if mean is not None and not 0 < mean < 1:
        raise InputError(f"the mean activation is {mean}; use a share above 0 and below 1")
    bad = (config.best - ovrl) / (config.best - config.worst)
    shares = config.lowest + (config.highest - config.lowest) * bad.clamp(0.0, 1.0)
    if mean is None:
        return shares
    now = shares.mean()
    if now >= mean:
        return shares * (mean / now)
    return 1 - (1 - shares) * ((1 - mean) / (1 - now))


def activation(plan: Plan, sites: tuple[Site, ...]) -> Tensor:
    """Share of the dynamic parts a frame activates, (batch, frame) in [0, 1]; 0: static parts only."""
    static = sum(site.shares[0] for site in sites) / len(sites)
    return (utilization(plan, sites) - static) / (1 - static)


def guidance(activated: Tensor, wanted: Tensor) -> Tensor:
    """Mean over a batch of the squared distance of each clip's mean activation from its target.

    With the same target for all clips this is a fixed ratio, the control without a metric.

    Args:
        activated: (batch, frame), see `activation`; its gradient reaches the policy.
        wanted: (batch,), see `targets`.
    """
    return (activated.mean(1) - wanted.to(activated)).square().mean()
