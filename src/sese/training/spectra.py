"""Mean distances between the spectra of clips, with a backward pass of their own that is fast on CPUs.

Autograd computes the gradient of a real spectrum by a complex FFT of full length, and runs each operator over
the spectra of a whole batch, which no cache holds. Here the gradient follows from the inverse real FFT, and
one clip at a time is transformed, compared and transformed back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from sese.nn.layers import kernels

Resolution = tuple[int, int, int]
"""n_fft, hop_length and win_length of spectra."""

Compare = Callable[[Tensor, Tensor, bool], "Tensor | float"]
"""Function of the spectra (clip, frame, bin) of estimate and target, and of whether the gradient shall take
the estimate's place. It returns the sum of the clips' distances, and may change both spectra."""


def mean_distance(
    estimate: Tensor, clean: Tensor, resolutions: Sequence[Resolution], compare: Compare
) -> Tensor:
    """Return the mean distance over clips and resolutions.

    Args:
        estimate, clean: Output and target (batch, time).
        resolutions: Sizes of the spectra.
        compare: What the distance is.

    Raises:
        ValueError: The target needs a gradient or has another shape, the batch is empty, or an n_fft is odd.
    """
    if clean.requires_grad:
        raise ValueError("the target of a distance between spectra gets no gradient; detach it")
    if estimate.shape != clean.shape:
        raise ValueError(f"estimate and target have shapes {[*estimate.shape]} and {[*clean.shape]}")
    if not len(estimate):
        raise ValueError("a distance between spectra needs at least one clip")
    if odd := [n_fft for n_fft, _, _ in resolutions if n_fft % 2]:
        raise ValueError(f"n_fft of a distance between spectra is {odd[0]}; give an even number")
    made: Tensor = _Distance.apply(estimate, clean, resolutions, compare)
    return made


def by_kernels(estimate: Tensor, slopes: bool) -> bool:
    """Return whether C kernels can compare these spectra: of one clip in training, in single precision."""
    return slopes and len(estimate) == 1 and estimate.dtype == torch.complex64 and kernels.on(estimate)


def squared(spectra: Tensor) -> Tensor:
    """Return the squared magnitudes of complex values."""
    real, imaginary = torch.view_as_real(spectra).unbind(-1)
    return torch.addcmul(real.square(), imaginary, imaginary)


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, estimate: Tensor, clean: Tensor, resolutions: Sequence[Resolution], compare: Compare
    ) -> Tensor:
        # The loss is a scalar, so its gradient is known but for a factor: both are computed at once.
        slope = torch.zeros_like(estimate) if ctx.needs_input_grad[0] else None
        at_once = 1 if estimate.device.type == "cpu" else len(estimate)
        total = estimate.new_zeros(())
        for sizes in resolutions:
            frames = _Frames(estimate[:at_once], *sizes)
            for start in range(0, len(estimate), at_once):
                part = slice(start, start + at_once)
                made, meant = frames.spectra(estimate[part]), frames.spectra(clean[part])
                total += compare(made, meant, slope is not None)
                if slope is not None:
                    frames.add_waveform(made, slope[part])
        scale = 1 / (len(estimate) * len(resolutions))
        ctx.save_for_backward(None if slope is None else slope.mul_(scale))
        return total * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradient, None, None, None


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
