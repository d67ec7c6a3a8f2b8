"""The multi-resolution STFT loss of DEMUCS; in training on a CPU, C kernels compare."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sese.nn.layers import kernels
from sese.training.spectra import by_kernels, mean_distance, squared

RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))
"""(n_fft, hop_length, win_length) of the multi-resolution STFT loss of DEMUCS (arXiv 2006.12847)."""

FLOOR = 1e-7
"""Smallest squared magnitude."""

LOWEST = 1e-3
"""Smallest norm of a target's magnitudes."""


def multi_resolution_stft(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the mean spectral convergence plus log-magnitude distance (arXiv 2006.12847, 2.2).

    Args:
        estimate, clean: Output and target (batch, time).

    Raises:
        ValueError: See `sese.training.spectra.mean_distance`.
    """
    return mean_distance(estimate, clean, RESOLUTIONS, _distance)


def _distance(estimate: Tensor, clean: Tensor, slopes: bool) -> Tensor | float:
    """Return the sum of the clips' distances at one resolution.

    Args:
        estimate, clean: Spectra (clip, frame, bin).
        slopes: Whether the gradient takes the place of the estimate's spectra.
    """
    if by_kernels(estimate, slopes):
        return _distance_by_kernels(estimate, clean)
    size = estimate[0].numel()
    power, target = squared(estimate), squared(clean)
    faint = power < FLOOR
    power.clamp_min_(FLOOR)
    magnitude, target = power.sqrt(), target.clamp_min_(FLOOR).sqrt_()
    difference = target - magnitude
    error = torch.linalg.vector_norm(difference, dim=(1, 2), keepdim=True)
    level = torch.linalg.vector_norm(target, dim=(1, 2), keepdim=True).clamp_min_(LOWEST)
    logs = target.div_(magnitude).log_()
    distance = (error / level).sum() + logs.abs().sum() / size
    if slopes:
        # d|E| / dE = E / |E|, and 0 where the magnitude was raised to the floor.
        scale = torch.where(error > 0, 1 / (error * level), 0.0)
        slope = difference.mul_(magnitude).mul_(-scale).sub_(logs.sign_(), alpha=1 / size).div_(power)
        estimate *= slope.masked_fill_(faint, 0.0)
    return distance


def _distance_by_kernels(estimate: Tensor, clean: Tensor) -> float:
    """Compute `_distance` of one clip, with its gradient."""
    size = estimate.numel()
    sums = torch.empty(3, dtype=torch.float64)
    kernels.run("spectral_distance", estimate, clean, sums, *estimate.shape[1:], FLOOR)
    squares, clean_squares, logs = sums.tolist()
    error, level = math.sqrt(squares), max(math.sqrt(clean_squares), LOWEST)
    scale = 1 / (error * level) if error else 0.0
    kernels.run("spectral_slope", estimate, clean, *estimate.shape[1:], FLOOR, scale, 1 / size)
    return error / level + logs / size
