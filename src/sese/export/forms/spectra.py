"""Features and heads of spectra in the form in which they are traced."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.features.level import audible
from sese.nn.features.steady import (
    FORGOTTEN,
    LEAST,
    MOST,
    OFFSET_FRAMES,
    RECENT_FRAMES,
    SteadyFeatures,
)
from sese.nn.features.stft import LEVEL_FLOOR, SpectralFeatures
from sese.nn.heads.overlap_add import OverlapAddHead


def _forward_transform(layer: SpectralFeatures | SteadyFeatures, frames: Tensor) -> Tensor:
    """Compute `ShortTimeFeatures.transform` by ONNX' Fourier transform."""
    batch, count, bins = frames.shape[0], frames.shape[1], layer.bins + 1
    spectrum = torch.onnx.ops.symbolic(
        "DFT",
        (frames.unsqueeze(3),),
        {"axis": 2, "onesided": 1},
        dtype=frames.dtype,
        shape=(batch, count, bins, 2),
    )
    return spectrum[:, :, : layer.bins].transpose(2, 3)


def _inverse_transform(layer: OverlapAddHead, spectrum: Tensor) -> Tensor:
    """Compute `OverlapAddHead.transform` by the real part of the lower half's transform.

    The upper half mirrors the lower one. The operator has a one-sided inverse, but only since ONNX Runtime
    1.24.
    """
    twice = spectrum.new_full((layer.bins,), 2.0)
    twice[0] = 1.0
    if layer.bins > layer.n_fft // 2:
        twice[-1] = 1.0  # the Nyquist frequency has no mirror image
    batch, count = spectrum.shape[0], spectrum.shape[1]
    frames = torch.onnx.ops.symbolic(
        "DFT",
        ((spectrum * twice).transpose(2, 3), torch.tensor(layer.n_fft)),
        {"axis": 2, "inverse": 1},
        dtype=spectrum.dtype,
        shape=(batch, count, layer.n_fft, 2),
    )
    return frames[..., 0]


def _centred(layer: SteadyFeatures, audio: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `SteadyFeatures._centred` for one frame."""
    offset = before + (audio.mean(1, keepdim=True) - before) / OFFSET_FRAMES
    ramp = torch.arange(1, layer.hop_length + 1) / layer.hop_length
    return audio - before * (1 - ramp) - offset * ramp, offset


def _level(layer: SteadyFeatures, size: Tensor, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `SteadyFeatures._level` for one frame: all four averages in one operation."""
    weight = audible(audio.unsqueeze(1))
    shares = torch.tensor([1 - layer.decay, 1 / RECENT_FRAMES])
    after = state + (torch.cat([weight * size, weight], dim=1).unsqueeze(2) - state) * shares
    of_sizes, of_weights = after.split(1, dim=1)
    slow, recent = (of_sizes / (of_weights + FORGOTTEN)).squeeze(1).split(1, dim=1)
    steady = torch.maximum(torch.minimum(slow, recent * MOST), recent / MOST)
    return steady.clamp_min(LEAST).sqrt() + LEVEL_FLOOR, after


def _steady_form(layer: SteadyFeatures, many: bool) -> dict[str, Any]:
    methods: dict[str, Any] = {"transform": partial(_forward_transform, layer)}
    if not many:
        methods |= {"_centred": partial(_centred, layer), "_level": partial(_level, layer)}
    return methods


FORMS: dict[type[nn.Module], Form] = {
    SpectralFeatures: replaced_by(transform=_forward_transform),
    SteadyFeatures: _steady_form,
    OverlapAddHead: replaced_by(transform=_inverse_transform),
}
