"""PMSQE: PESQ's model of hearing as a loss (Martín-Doñas et al. 2018, IEEE Signal Processing Letters 25(11)).

PESQ (ITU-T P.862, 10.2) compares loudness in Bark bands. A difference that neither signal masks
disturbs, and one that adds to the speech disturbs more than one that takes from it. Steps without a useful
gradient are left out, as in PMSQE: alignment, and the norms by which the worst moments of a file decide.
Bands, threshold of hearing and loudness follow formulas of psychoacoustics, not the tables of the standard.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

SAMPLE_RATE = 16_000
N_FFT, HOP_LENGTH = 512, 256
BANDS = 49
LISTENING_LEVEL = 79.0  # dB SPL of a clip's speech
DEAD_ZONE = 0.25  # share of the lesser loudness that masks a difference
SYMMETRIC, ASYMMETRIC = 0.1, 0.0309  # weights in PESQ's score
LOUDNESS_SCALE, LOUDNESS_POWER = 0.1866, 0.23


def pmsqe(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the mean disturbance of the frames in units of PESQ's raw score (P.862, 10.2.7 to 10.2.10).

    0 is no disturbance. Clips without speech are left out, because their listening level is not defined.

    Args:
        estimate, clean: Output and target (batch, time) at 16 kHz; the target's level sets that of both.
    """
    matrix, threshold, exponent = (torch.from_numpy(x).to(clean) for x in _bands())
    window = torch.hann_window(N_FFT, device=clean.device, dtype=clean.dtype)

    def powers(x: Tensor) -> Tensor:
        """Return powers (batch, frame, band) as multiples of the threshold of hearing at 1 kHz."""
        spectrum = torch.stft(x, N_FFT, HOP_LENGTH, N_FFT, window, return_complex=True)
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2) @ matrix.T

    def loudness(power: Tensor) -> Tensor:
        grown = (0.5 + 0.5 * power / threshold) ** exponent - 1
        return LOUDNESS_SCALE * (threshold / 0.5) ** exponent * grown

    estimated, target = powers(estimate), powers(clean)
    mean = target.sum(-1).mean(1).clamp_min(1e-9)[:, None, None]
    estimated, target = (x * 10 ** (LISTENING_LEVEL / 10) / mean for x in (estimated, target))
    heard, meant = loudness(estimated), loudness(target)
    difference = (heard - meant).abs() - DEAD_ZONE * torch.minimum(heard, meant)
    difference = difference.clamp_min(0)
    ratio = ((estimated + 50) / (target + 50)) ** 1.2
    ratio = torch.where(ratio < 3, 0, ratio.clamp(max=12))
    width = _bark(SAMPLE_RATE / 2) / BANDS
    symmetric = width * (width * BANDS * difference.square().sum(-1) + 1e-6).sqrt()
    asymmetric = width * (difference * ratio).sum(-1)
    weight = ((target.sum(-1) + 1e5) / 1e7) ** -0.04
    frames = SYMMETRIC * symmetric + ASYMMETRIC * asymmetric
    active = (clean.square().mean(-1) > 1e-7)[:, None]
    return (frames * weight * active).sum() / (active.sum() * frames.shape[1]).clamp_min(1)


def _bark(frequency: float) -> float:
    return float(7 * np.arcsinh(frequency / 650))


@cache
def _bands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shares of bins in bands (band, bin), thresholds of hearing and exponents of loudness (band,)."""
    edges = 650 * np.sinh(np.linspace(0, _bark(SAMPLE_RATE / 2), BANDS + 1) / 7)
    step = SAMPLE_RATE / N_FFT
    bins = np.arange(N_FFT // 2 + 1) * step
    upper = np.minimum(edges[1:, None], bins + step / 2)
    matrix = np.maximum(0, upper - np.maximum(edges[:-1, None], bins - step / 2)) / step
    centres = (edges[1:] + edges[:-1]) / 2
    khz = np.maximum(centres / 1000, 0.05)
    quiet = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4  # Terhardt 1979, dB SPL
    bark = 7 * np.arcsinh(centres / 650)
    steeper = np.where(bark < 4, np.minimum(2, 6 / (bark + 2)) ** 0.15, 1.0)
    return tuple(x.astype(np.float32) for x in (matrix, 10 ** (quiet / 10), LOUDNESS_POWER * steeper))  # type: ignore[return-value]
