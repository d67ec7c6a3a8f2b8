"""What makes a router save compute and use its levels: the two losses of Adaptive Slimming's training.

arXiv 2507.04879 trains with `L_SE + beta * L_Eff + gamma * L_Bal` (beta = 1, gamma = 0.1); it gives neither
formula. The candidates here are compared in docs/systems/adaptive_slimming.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError


@dataclass(frozen=True)
class RoutingConfig:
    """How a router is trained.

    Attributes:
        target: mean utilization that the efficiency loss pulls towards.
        efficiency_weight, balance_weight: beta and gamma.
        efficiency: ``square``, ``absolute`` or ``one_sided`` (no pull from below).
        balance: ``switch`` (load balancing of Switch Transformers, arXiv 2101.03961) or ``kl`` (divergence
            of the mean probabilities from even shares).
        temperature, final_temperature: of the Gumbel-softmax, at the first and the last step; between
            them it changes by the same factor in every step.
        fixed_share: share of a batch's rows that run at dealt levels (`level_shares`) rather than routed, so
            that every level stays good on its own.
        learning_rate: of the router, times that of the rest.
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
        """Temperature when `done`, in [0, 1], of the steps are behind."""
        return self.temperature * (self.final_temperature / self.temperature) ** done


def efficiency(utilization: Tensor, config: RoutingConfig) -> Tensor:
    """Distance of the mean utilization, (batch, frame) of them, from the target."""
    distance = utilization.mean() - config.target
    if config.efficiency == "absolute":
        return distance.abs()
    if config.efficiency == "one_sided":
        return distance.clamp_min(0.0)
    return distance.square()


def balance(scores: Tensor, config: RoutingConfig) -> Tensor:
    """How unevenly the levels are used; lowest for even shares.

    ``switch`` is levels * sum over levels of (share of the frames that score it best) * (mean probability),
    1 when even.

    Args:
        scores: (batch, frame, level).
        config: names the formula.
    """
    probability = torch.softmax(scores, dim=-1).flatten(0, -2).mean(0)
    if config.balance == "kl":
        return (probability * (probability * len(probability)).clamp_min(1e-9).log()).sum()
    chosen = torch.bincount(scores.detach().argmax(-1).flatten(), minlength=len(probability))
    return len(probability) * (chosen / chosen.sum() * probability).sum()


def frame_errors(estimates: Tensor, clean: Tensor, noisy: Tensor, hop_length: int) -> Tensor:
    """Error of each level in each frame, against the widest level's mean.

    Half is the compressed complex spectrum's squared error, which hears quiet parts too, half the
    waveform's, which is what SI-SDR sums.

    Args:
        estimates: (level, batch, time), the widest level last.
        clean, noisy: (batch, time).
        hop_length: samples a frame; windows of two frames, centred on each frame's beginning: behind what a
            decision encodes, ahead of what it decodes.

    Returns:
        (batch, frame, level).
    """
    scale = 0.1 / noisy.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-4)
    window = torch.hann_window(2 * hop_length, device=noisy.device)

    def spectrum(x: Tensor) -> Tensor:
        x = torch.stft(x, 2 * hop_length, hop_length, window=window, return_complex=True)
        return x * (x.abs() + 1e-5) ** -0.7

    target = spectrum(clean * scale)
    heard = [(spectrum(estimate * scale) - target).abs().square().mean(1) for estimate in estimates]
    squares = ((estimates - clean) * scale).square()
    seen = F.avg_pool1d(squares, 2 * hop_length, hop_length, padding=hop_length)
    frames = min(seen.shape[-1], heard[0].shape[-1])
    by_spectrum = torch.stack(heard, -1)[:, :frames]
    by_wave = seen.permute(1, 2, 0)[:, :frames]
    halves = [error / error[..., -1].mean().clamp_min(1e-9) for error in (by_spectrum, by_wave)]
    return 0.5 * (halves[0] + halves[1])
