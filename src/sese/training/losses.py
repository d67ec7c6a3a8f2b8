"""Losses between an estimate and its clean target; each is a function of two waveforms.

All take (batch, time) and return a scalar. `total` weights them by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.training.compressed_distance import SIZES, compressed_complex
from sese.training.estoi import unintelligibility
from sese.training.pesq import disturbance
from sese.training.spectral_distance import RESOLUTIONS, multi_resolution_stft
from sese.training.with_speech import mean_with_speech

SHORTEST = max(n_fft for n_fft, _, _ in RESOLUTIONS) // 2 + 1
"""Number of samples of the shortest clip that every loss takes: spectra reflect half a window at the ends."""

FLOOR = 1e-8

Level = Literal["noisy", "clean", "none"]
"""Level to which signals are scaled before a loss, see `total`."""

ACTIVE_LEVEL = 0.025
"""Lowest level of an active frame: about the root mean square of its windowed samples."""


def require_length(name: str, seconds: float, sample_rate: int) -> None:
    """Check that clips are long enough for every loss.

    Args:
        name: Dotted name of the value, for the error.
        seconds: Length of the clips.
        sample_rate: Sample rate in Hz.

    Raises:
        InputError: they are too short.
    """
    if not round(seconds * sample_rate) >= SHORTEST:
        raise InputError(
            f"{name} is {seconds:g}; the losses need {SHORTEST} samples, {SHORTEST / sample_rate:.3f} s"
        )


def l1(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the mean absolute error of the samples."""
    return (estimate - clean).abs().mean()


def active_compressed(
    estimate: Tensor, clean: Tensor, power: float = 0.3, complex_share: float = 0.3
) -> Tensor:
    """Return `compressed_complex` at one STFT size, at the level of active speech (DynCompMSE).

    This is the loss of arXiv 2412.17121's authors. Both spectra (512, hop 256) are first divided by the mean
    level of the batch's clean frames above `ACTIVE_LEVEL`. Without such a frame nothing is divided.
    """
    n_fft = 512
    estimated, target = (_stft(x, n_fft, n_fft // 2, n_fft) for x in (estimate, clean))
    levels = target.abs().square().sum(1).sqrt() * 2**0.5 / n_fft
    active = levels > ACTIVE_LEVEL
    level = torch.where(active, levels, 0.0).sum() / active.sum().clamp_min(1)
    level = torch.where(active.any(), level, 1.0) + 1e-9
    estimated, target = estimated / level, target / level
    estimated_size, target_size = (
        (x.real.square() + x.imag.square()).clamp_min(1e-18).sqrt() + 1e-9 for x in (estimated, target)
    )
    magnitude = (estimated_size**power - target_size**power).square().mean()
    spectrum = estimated * estimated_size ** (power - 1) - target * target_size ** (power - 1)
    both = spectrum.real.square() + spectrum.imag.square()
    return (1 - complex_share) * magnitude + complex_share * both.mean()


def negative_si_sdr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return minus the scale-invariant SDR in units of 10 dB, of clips with speech (arXiv 1811.02508)."""
    ratio = si_sdr(estimate, clean)
    return -mean_with_speech(ratio.clamp(max=30.0), clean) / 10


def negative_sdr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return minus the signal-to-distortion ratio in units of 10 dB, of clips with speech.

    Unlike the scale-invariant ratio it depends on scale and polarity. A network that starts with an inverted
    output has the same SI-SDR as with the right one, and stays long between the two.
    """
    energy = clean.square().sum(-1)
    ratio = 10 * torch.log10((energy + FLOOR) / ((clean - estimate).square().sum(-1) + FLOOR))
    return -mean_with_speech(ratio.clamp(max=30.0), clean) / 10


def si_sdr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the scale-invariant SDR in dB: (batch, time) -> (batch,)."""
    estimate, clean = (x - x.mean(-1, keepdim=True) for x in (estimate, clean))
    energy = clean.square().sum(-1, keepdim=True)
    target = (estimate * clean).sum(-1, keepdim=True) / (energy + FLOOR) * clean
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10((target.square().sum(-1) + FLOOR) / (error + FLOOR))


def at_target_level(estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both signals without their means, scaled so that the target has unit power.

    Args:
        estimate, target: Signals (batch, time).
    """
    estimate, target = (side - side.mean(-1, keepdim=True) for side in (estimate, target))
    scale = target.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-4)
    return estimate / scale, target / scale


LOSSES = {
    "l1": l1,
    "multi_resolution_stft": multi_resolution_stft,
    "compressed_complex": compressed_complex,
    "active_compressed": active_compressed,
    "si_sdr": negative_si_sdr,
    "sdr": negative_sdr,
    "pesq": disturbance,
    "estoi": unintelligibility,
}
"""Name of a loss in a configuration -> function."""


def total(
    estimate: Tensor,
    clean: Tensor,
    noisy: Tensor,
    weights: Mapping[str, float],
    sizes: Sequence[int] = SIZES,
    level: Level = "noisy",
) -> dict[str, Tensor]:
    """Return the weighted losses by name.

    Args:
        estimate, clean, noisy: Output, target and input (batch, time).
        weights: Name of a loss -> its weight.
        sizes: Window sizes of the spectra of `compressed_complex`.
        level: What all signals are divided by first: the level of the noisy input, so that a loss depends
            neither on how loud a clip is nor on how much of it is speech; that of the clean target; or
            nothing, as in papers, where a loud or noisy clip then counts for more.
    """
    if level != "none":
        measured = noisy if level == "noisy" else clean
        scale = 0.1 / measured.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-4)
        estimate, clean = estimate * scale, clean * scale
    losses = LOSSES | {"compressed_complex": partial(compressed_complex, sizes=sizes)}
    return {name: weight * losses[name](estimate, clean) for name, weight in weights.items() if weight}


def _stft(x: Tensor, n_fft: int, hop_length: int, win_length: int) -> Tensor:
    window = torch.hann_window(win_length, device=x.device, dtype=x.dtype)
    return torch.stft(x, n_fft, hop_length, win_length, window, return_complex=True)
