"""The multi-resolution STFT loss of DEMUCS, with its own backward pass that is fast on CPUs.

Autograd computes the gradient of a real spectrum by a complex FFT of full length, and runs each operator over
the spectra of a whole batch, which no cache holds. Here the gradient follows from the inverse real FFT, and
one clip at a time is transformed, compared and transformed back. In training, C kernels compare.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from sese.nn.layers import kernels

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
        ValueError: The target needs a gradient.
    """
    if clean.requires_grad:
        raise ValueError("the target of multi_resolution_stft gets no gradient; detach it")
    return _Distance.apply(estimate, clean)


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, estimate: Tensor, clean: Tensor) -> Tensor:
        # The loss is a scalar, so its gradient is known but for a factor: both are computed at once.
        slope = torch.zeros_like(estimate) if ctx.needs_input_grad[0] else None
        at_once = 1 if estimate.device.type == "cpu" else len(estimate)
        total = estimate.new_zeros(())
        for sizes in RESOLUTIONS:
            frames = _Frames(estimate[:at_once], *sizes)
            for start in range(0, len(estimate), at_once):
                part = slice(start, start + at_once)
                made, meant = frames.spectra(estimate[part]), frames.spectra(clean[part])
                total += _distance(made, meant, slope is not None)
                if slope is not None:
                    frames.add_waveform(made, slope[part])
        scale = 1 / (len(estimate) * len(RESOLUTIONS))
        ctx.save_for_backward(None if slope is None else slope.mul_(scale))
        return total * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradient, None


def _distance(estimate: Tensor, clean: Tensor, slopes: bool) -> Tensor | float:
    """Return the sum of the clips' distances at one resolution.

    Args:
        estimate, clean: Spectra (clip, frame, bin).
        slopes: Whether the gradient takes the place of the estimate's spectra.
    """
    if slopes and len(estimate) == 1 and estimate.dtype == torch.complex64 and kernels.on(estimate):
        return _distance_by_kernels(estimate, clean)
    size = estimate[0].numel()
    power, target = _power(estimate), _power(clean)
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


def _power(spectra: Tensor) -> Tensor:
    real, imaginary = torch.view_as_real(spectra).unbind(-1)
    return torch.addcmul(real.square(), imaginary, imaginary)


class _Frames:
    """Cut clips into windowed frames, and add the gradients of frames to those of the samples.

    Args:
        like: Signals (clip, time) of the size that is cut.
        n_fft, hop_length, win_length: Sizes, as of `torch.stft`.
    """

    def __init__(self, like: Tensor, n_fft: int, hop_length: int, win_length: int):
        self.n_fft, self.hop_length, self.win_length = n_fft, hop_length, win_length
        self.window = torch.hann_window(win_length, device=like.device, dtype=like.dtype)
        self.count = 1 + like.shape[1] // hop_length
        self.length = (self.count - 1) * hop_length + win_length
        self.hops = -(-win_length // hop_length)
        # What lies behind the window stays zero.
        self.padded = like.new_zeros(len(like), self.count, n_fft)
        self.cut = like.new_zeros(len(like), self.count, self.hops * hop_length)

    def spectra(self, x: Tensor) -> Tensor:
        """Return spectra (clip, frame, bin) of signals (clip, time).

        They are those of `torch.stft` but for their phase: frames begin with their window.
        """
        half, first = self.n_fft // 2, (self.n_fft - self.win_length) // 2
        whole = F.pad(x.unsqueeze(1), (half, half), "reflect").squeeze(1)
        frames = whole[:, first : first + self.length].unfold(1, self.win_length, self.hop_length)
        torch.mul(frames, self.window, out=self.padded[..., : self.win_length])
        return torch.fft.rfft(self.padded)

    def add_waveform(self, spectra: Tensor, slope: Tensor) -> None:
        """Add the gradient of the samples to `slope` (clip, time), given that of the spectra, in place."""
        half, first = self.n_fft // 2, (self.n_fft - self.win_length) // 2
        spectra[..., 0] *= 2  # the inverse counts every bin twice but the first and the last
        spectra[..., -1] *= 2
        frames = torch.fft.irfft(spectra, self.n_fft, norm="forward")
        torch.mul(frames[..., : self.win_length], self.window / 2, out=self.cut[..., : self.win_length])
        joined = slope.new_zeros(len(slope), self.count + self.hops - 1, self.hop_length)
        for hop, part in enumerate(self.cut.unflatten(2, (self.hops, self.hop_length)).unbind(2)):
            joined[:, hop : hop + self.count] += part
        whole = slope.new_zeros(len(slope), slope.shape[1] + self.n_fft)
        whole[:, first : first + self.length] = joined.flatten(1)[:, : self.length]
        slope += whole[:, half:-half]
        slope[:, 1 : half + 1] += whole[:, :half].flip(1)
        slope[:, -half - 1 : -1] += whole[:, -half:].flip(1)
