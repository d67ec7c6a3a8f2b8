"""PESQ as a loss (ITU-T P.862 and P.862.2, from the alignment of levels to the disturbance of a file).

PESQ compares loudness in Bark bands, frame by frame. A difference that neither signal masks disturbs, one
that adds to the speech disturbs more than one that takes from it, and the worst moments of a file count
most. Only the alignment in time is left out, as an estimate has its target's time.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from sese.training.with_speech import mean_with_speech

SAMPLE_RATE = 16_000
N_FFT, HOP_LENGTH = 512, 256
ALIGNED_HZ = (325, 3250)
ALIGNED_POWER = 1e7  # mean square of a signal between these
HIGH_PASS = ((2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794))  # numerator, denominator
POWER_SCALE = 6.910853e-6  # from a bin's power to multiples of the threshold of hearing at 1 kHz
LOUDNESS_SCALE, LOUDNESS_POWER = 0.1866055, 0.23
DEAD_ZONE = 0.25  # share of the lesser loudness that masks a difference
SILENT_POWER = 1e7  # of a frame: less is not speech
SYMMETRIC, ASYMMETRIC = 0.1, 0.0309  # weights in PESQ's score
GROUP, GROUP_HOP = 20, 10  # frames: 320 ms, of which the worst count most

# The bands of P.862.2: their bins, thresholds of hearing in dB, and factors of power.
BINS = (
    1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 3, 4, 5,
    4, 5, 6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20
)  # fmt: skip
THRESHOLD_DB = (
    77.1, 63.9, 48.5, 36.9, 30.7, 25.9, 20.3, 16.6, 12.5, 9.9, 6.9, 4.9, 2.9, 1.2, -0.1, -1.4, -2.5,
    -3.5, -4.1, -4.8, -5.3, -5.8, -5.9, -6, -6, -6, -6, -5.8, -5.4, -5.1, -4.7, -4.3, -3.9, -3.6, -3.3,
    -3.1, -3, -3, -2.9, -2.8, -2.8, -2.8, -2.9, -3.2, -3.7, -4.3, -4.4, -3.8, -2.7
)  # fmt: skip
POWER = (
    100, 100, 100, 100, 100, 100, 100, 100, 50, 100, 100, 100, 100, 100, 53.05, 110, 118, 65, 68.76, 70,
    71.43, 75, 76.84, 80.97, 88.65, 63.86, 68.16, 72.55, 75.58, 58.38, 80.95, 64.14, 54.38, 73.82,
    64.44, 59.18, 65.52, 61.4, 58.14, 57, 64.13, 54.31, 61.12, 55.08, 56.85, 55.63, 53.14, 54.99, 79.55
)  # fmt: skip


def disturbance(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return what PESQ takes from its raw score of 4.5, as a mean over the clips with speech.

    0 is no disturbance, 3 a score of 1.7 on the scale that P.862.2 maps to. Levels change nothing.

    Args:
        estimate, clean: Output and target (batch, time) at 16 kHz.

    Example:
        >>> clean = torch.sin(torch.arange(16_000) / 5)[None]
        >>> 0.001 > disturbance(0.5 * clean, clean).item()
        True
    """
    matrix, threshold, exponent, width = (torch.from_numpy(x).to(clean) for x in _bands())
    tested, meant = (_powers(x, matrix) for x in (estimate, clean))  # (batch, frame, band)
    speech = _audible(meant, 100 * threshold).sum(-1) >= SILENT_POWER
    over_time = [(_audible(x, 100 * threshold) * speech[..., None]).mean(1) for x in (tested, meant)]
    ratio = ((over_time[0] + 1000) / (over_time[1] + 1000)).clamp(0.01, 100)
    meant = meant * ratio[:, None]
    heard = [_audible(x, threshold).sum(-1) for x in (meant, tested)]
    gain = (heard[0] + 5e3) / (heard[1] + 5e3)
    before = torch.cat([gain[:, :1], gain[:, :-1]], 1)
    gain = (0.8 * gain + 0.2 * before).clamp(3e-4, 5)
    tested = tested * gain[..., None]

    def loudness(power: Tensor) -> Tensor:
        grown = (0.5 + 0.5 * power / threshold) ** exponent - 1
        return LOUDNESS_SCALE * (2 * threshold) ** exponent * grown.clamp_min(0)

    loud, target = loudness(tested), loudness(meant)
    difference = ((loud - target).abs() - DEAD_ZONE * torch.minimum(loud, target)).clamp_min(0)
    added = ((tested + 50) / (meant + 50)) ** 1.2
    added = torch.where(added < 3, 0, added.clamp(max=12))
    symmetric = (((difference * width).square().sum(-1) + 1e-6) * width.sum()).sqrt()
    asymmetric = (difference * added * width).sum(-1)
    weight = ((heard[0] + 1e5) / 1e7) ** -0.04
    total = SYMMETRIC * _over_time(symmetric * weight) + ASYMMETRIC * _over_time(asymmetric * weight)
    return mean_with_speech(total, clean)


def _powers(signal: Tensor, matrix: Tensor) -> Tensor:
    """Return powers (batch, frame, band) as multiples of the threshold of hearing at 1 kHz."""
    window = torch.hann_window(N_FFT, device=signal.device, dtype=signal.dtype)
    spectrum = torch.stft(signal, N_FFT, HOP_LENGTH, N_FFT, window, center=False, return_complex=True)
    power = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    low, high = (round(hz * N_FFT / SAMPLE_RATE) for hz in ALIGNED_HZ)
    square = 2 * power[..., low:high].sum(-1).mean(1) / (N_FFT * window.square().sum())
    return (power @ matrix.T) * (ALIGNED_POWER / square.clamp_min(1e-9))[:, None, None]


def _audible(power: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(power > threshold, power, 0)


def _over_time(frames: Tensor) -> Tensor:
    """Return the L2 norm of L6 norms within 320 ms: (batch, frame) -> (batch,)."""
    groups = frames.clamp(max=45).unfold(1, min(GROUP, frames.shape[1]), GROUP_HOP)
    worst = ((groups + 1e-6) ** 6).mean(-1) ** (1 / 6)
    return worst.square().mean(1).sqrt()


@cache
def _bands() -> tuple[np.ndarray, ...]:
    """Return weights of bins (band, bin); thresholds, exponents of loudness, widths in Bark (band,)."""
    of = np.repeat(np.arange(len(BINS)), BINS)
    matrix = np.zeros((len(BINS), N_FFT // 2 + 1))
    matrix[of, np.arange(len(of))] = POWER_SCALE * np.array(POWER)[of]
    matrix[:, 0] = 0
    turn = np.exp(-2j * np.pi * np.arange(matrix.shape[1]) / N_FFT)
    response = np.polyval(HIGH_PASS[0][::-1], turn) / np.polyval(HIGH_PASS[1][::-1], turn)
    matrix = matrix * np.abs(response) ** 2
    width = 0.318 * 1.0132 ** np.arange(-1, len(BINS) - 1)
    width[0] /= 2
    centre = np.cumsum(width) - width / 2
    steeper = np.clip(6 / (centre + 2), 1, 2) ** 0.15
    result = (matrix, 10 ** (np.array(THRESHOLD_DB) / 10), LOUDNESS_POWER * steeper, width)
    return tuple(x.astype(np.float32) for x in result)
