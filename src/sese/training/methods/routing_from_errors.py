"""Train a router alone, from the error of every level in every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sese.data.mixing import Mixture
from sese.training.methods import routing
from sese.training.methods.method import Method, check_policy_alone
from sese.training.methods.routing import RoutingConfig, balance, efficiency

if TYPE_CHECKING:
    from sese.training.config import RunConfig
    from sese.training.task import EnhancementTask


def losses(task: EnhancementTask, batch: Mixture, generator: Generator) -> dict[str, Tensor]:
    """Return the expected error and utilization, as if levels were sampled from the router's scores.

    The error of every level in every frame is known, so nothing needs to be sampled. Errors of a frame are
    taken as independent of the levels of its neighbours, which they nearly are.
    """
    noisy, clean, settings = batch.noisy, batch.clean, task.config.training.routing
    with torch.no_grad():
        estimates = torch.stack(task.model.enhance_levels(noisy, range(task.levels))).squeeze(2).float()
        errors = frame_errors(estimates, clean.squeeze(1), noisy.squeeze(1), task.model.hop_length)
    scores = task.model.score(noisy)[:, : errors.shape[1]]
    probability = torch.softmax(scores, dim=-1)
    factors = scores.new_tensor(task.model.sites[0].shares).cumsum(0)
    used = (probability * factors).sum(-1)
    task.log("train/utilization", used.detach().mean())
    return {
        "error": (probability * errors).sum(-1).mean(),
        "efficiency": settings.efficiency_weight * efficiency(used, settings),
        "balance": settings.balance_weight * balance(scores, settings),
    }


def frame_errors(estimates: Tensor, clean: Tensor, noisy: Tensor, hop_length: int) -> Tensor:
    """Return the error of each level in each frame, relative to the highest level's mean.

    Half of it is the squared error of the compressed complex spectrum, which counts quiet parts too. The
    other half is the squared error of the waveform, of which SI-SDR is made.

    Args:
        estimates: Outputs (level, batch, time), the highest level last.
        clean, noisy: Target and input (batch, time).
        hop_length: Samples of a frame. Windows of two frames are centred on the beginning of each frame:
            behind the samples that a decision encodes, ahead of those that it decodes.

    Returns:
        Errors (batch, frame, level).
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


def check(config: RunConfig) -> None:
    """Check that there is a router, and that it trains alone.

    Raises:
        InputError: there is none, or other weights train too.
    """
    routing.check_router(config)
    check_policy_alone(config)


METHOD = Method(losses, routing.score, {"routing": RoutingConfig}, check, trains_policy=True)
