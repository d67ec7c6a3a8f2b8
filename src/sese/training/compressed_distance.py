"""The compressed spectral loss; in training on a CPU, a C kernel compares."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from sese.nn.layers import kernels
from sese.training.spectra import by_kernels, mean_distance, squared

SIZES = (320, 512, 768)
"""n_fft, with half as hop, of the loss family of FTF-Net as given in arXiv 2608.30739."""

FLOOR = 1e-8
"""Added to each squared magnitude."""


def compressed_complex(
    estimate: Tensor,
    clean: Tensor,
    power: float = 0.3,
    complex_share: float = 0.3,
    sizes: Sequence[int] = SIZES,
) -> Tensor:
    """Return the compressed magnitude and compressed complex error (loss of arXiv 2412.17121's authors).

    (1 - a) * mean((|E|^c - |S|^c)^2) + a * mean(|E|^c e^{j arg E} - |S|^c e^{j arg S}|^2), averaged over
    several STFT sizes as in arXiv 2608.30739.

    Args:
        estimate, clean: Output and target (batch, time).
        power: Exponent of the magnitudes (c).
        complex_share: Share of the complex error (a).
        sizes: Window sizes of the spectra; the hop is half.

    Raises:
        ValueError: See `sese.training.spectra.mean_distance`.
    """
    resolutions = [(n_fft, n_fft // 2, n_fft) for n_fft in sizes]
    return mean_distance(estimate, clean, resolutions, partial(_distance, float(power), float(complex_share)))


def _distance(
    exponent: float, complex_share: float, estimate: Tensor, clean: Tensor, slopes: bool
) -> Tensor | float:
    """Return the sum of the clips' distances, see `spectra.Compare`."""
    share, size = complex_share, estimate[0].numel()
    if by_kernels(estimate, slopes):
        total = torch.empty(1, dtype=torch.float64)
        sizes = estimate.shape[1:]
        kernels.run("compressed_distance", estimate, clean, total, *sizes, FLOOR, exponent, share, 1 / size)
        return total.item()
    power, target_power = squared(estimate) + FLOOR, squared(clean) + FLOOR
    # One squared magnitude serves both: |X|^c = (|X|^2)^(c/2), and X |X|^(c-1) is compressed.
    error = power ** (exponent / 2) - target_power ** (exponent / 2)
    scale = power ** ((exponent - 1) / 2)
    difference = estimate * scale - clean * target_power ** ((exponent - 1) / 2)
    total = ((1 - share) * error.square() + share * squared(difference)).sum() / size
    if slopes:
        along = (difference * estimate.conj()).real
        factor = (1 - share) * exponent * error * power.sqrt() + share * (exponent - 1) * along
        estimate.mul_(scale / power * factor).add_(share * scale * difference).mul_(2 / size)
    return total
