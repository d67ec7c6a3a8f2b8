"""ESTOI as a loss (Jensen and Taal 2016, IEEE/ACM TASLP 24(11), section II), without its resampling.

ESTOI correlates how the levels of third octaves move together within 384 ms. The measure resamples to 10 kHz;
here the same bands are cut from spectra at 16 kHz. Segments begin every 4 frames, not every frame.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from sese.training.with_speech import with_speech

SAMPLE_RATE = 16_000
WIN_LENGTH, HOP_LENGTH, N_FFT = 410, 205, 820  # 25.6 ms and 12.8 ms, as 256 and 128 samples at 10 kHz
BANDS, LOWEST_HZ = 15, 150.0  # third octaves, and the centre of the lowest
RANGE_DB = 40.0  # frames of speech weaker than the loudest one by more are left out
SEGMENT, SEGMENT_HOP = 30, 4  # frames
FLOOR = 1e-8


def unintelligibility(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return 1 - ESTOI as a mean over the clips with at least 384 ms of speech; 0 without such a clip.

    Args:
        estimate, clean: Output and target (batch, time) at 16 kHz.

    Example:
        >>> clean = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1))
        >>> round(unintelligibility(0.5 * clean, clean).item(), 3)
        0.0
    """
    tested, meant = _spectra(estimate), _spectra(clean)  # (batch, bin, frame)
    bands = torch.from_numpy(_bands()).to(clean)
    level = meant.sum(1)
    speech = level > level.amax(1, keepdim=True) * 10 ** (-RANGE_DB / 10)
    active = with_speech(clean) & (speech.sum(1) >= SEGMENT)
    clips = [
        _correlation(*((bands @ power[clip][:, speech[clip]] + FLOOR).sqrt() for power in (tested, meant)))
        for clip in active.nonzero().flatten().tolist()
    ]
    return 1 - torch.stack(clips).mean() if clips else 0 * estimate.sum()


def _correlation(tested: Tensor, meant: Tensor) -> Tensor:
    """Return the mean correlation of segments of two signals (band, frame)."""
    both = (x.unfold(1, SEGMENT, SEGMENT_HOP).transpose(0, 1) for x in (tested, meant))
    first, second = (_normal(_normal(segments, 2), 1) for segments in both)
    return (first * second).sum((1, 2)).mean() / SEGMENT


def _normal(x: Tensor, dim: int) -> Tensor:
    x = x - x.mean(dim, keepdim=True)
    return x / (x.square().sum(dim, keepdim=True) + 1e-12).sqrt()


def _spectra(signal: Tensor) -> Tensor:
    """Return powers (batch, bin, frame)."""
    window = torch.hann_window(WIN_LENGTH, periodic=False, device=signal.device, dtype=signal.dtype)
    spectrum = torch.stft(
        signal, N_FFT, HOP_LENGTH, WIN_LENGTH, window, pad_mode="constant", return_complex=True
    )
    return spectrum.real.square() + spectrum.imag.square()


@cache
def _bands() -> np.ndarray:
    """Return which bins belong to which band (band, bin)."""
    centres = LOWEST_HZ * 2 ** (np.arange(BANDS)[:, None] / 3)
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    return ((bins >= centres * 2 ** (-1 / 6)) & (bins < centres * 2 ** (1 / 6))).astype(np.float32)
