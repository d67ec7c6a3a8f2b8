"""Features and heads of spectra in the form in which they are traced.

For one frame, the scalars of the steady features are rows of small products.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sese.export.forms.form import STEEP, Form, hard_sigmoid, own_methods, replaced_by
from sese.export.forms.fourier import product_to_frame, to_frames, to_spectra
from sese.nn.features.level import SILENCE
from sese.nn.features.short_time import ShortTimeFeatures
from sese.nn.features.steady import FORGOTTEN, LEAST, MOST, OFFSET_FRAMES, RECENT_FRAMES, SteadyFeatures
from sese.nn.features.stft import COMPRESSION, LEVEL_FLOOR, POWER_FLOOR
from sese.nn.heads.mask import MaskHead
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.state import State


def _transform(layer: ShortTimeFeatures, frames: Tensor) -> Tensor:
    """Compute `ShortTimeFeatures.transform` by products."""
    return to_spectra(frames, layer.bins)


def _transform_back(layer: OverlapAddHead, spectrum: Tensor) -> Tensor:
    """Compute `OverlapAddHead.transform` by products."""
    return to_frames(spectrum, layer.n_fft)


def _analyse(layer: ShortTimeFeatures, audio: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `ShortTimeFeatures.analyse` for one frame, which is as long as the past."""
    frame = torch.cat([past, audio], dim=1) * layer.window
    return layer.transform(frame.unsqueeze(1)), audio


def _mask(head: MaskHead, mask: Tensor, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute `MaskHead.forward` for one frame; the transform adds up the parts of the complex product."""
    mask, spectrum = (values.unflatten(1, (2, head.bins)) for values in (mask, spectrum))
    mask = mask * mask.square().sum(1, keepdim=True)
    frames = product_to_frame(mask, spectrum, head.n_fft) * head.window
    return head.overlapped(frames, state)


def rest_frame(
    features: ShortTimeFeatures,
    head: OverlapAddHead,
    before: Tensor,
    latest: Tensor,
    gain: Tensor,
    state: State,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute `Head.scaled` for one frame without transforms: they leave all but the Nyquist frequency.

    Args:
        features, head: they have a window each.
        before, latest: (batch, hop) both halves of the frame, as `ShortTimeFeatures.analyse` gets them.
        gain: (1,).
        state: as in `OverlapAddHead.state_shapes`.

    Returns:
        (batch, 1, time), and the next state.
    """
    turns = 1.0 - 2.0 * (torch.arange(head.n_fft) % 2)  # a sine of the Nyquist frequency
    joined = torch.cat([before, latest], dim=1)
    highest = torch.matmul(joined, (features.window * turns / head.n_fft).unsqueeze(1))
    frame = joined * (features.window * head.window)
    frame = torch.addmm(frame, highest, (turns * head.window).unsqueeze(0), alpha=-1) * gain
    first, second = frame.unsqueeze(1).split(head.hop_length, dim=2)
    return first + state["overlap"], {"overlap": second}


def _centred(layer: SteadyFeatures, audio: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `SteadyFeatures._centred` for one frame."""
    hop = layer.hop_length
    mean = torch.full((hop, 1), 1 / (OFFSET_FRAMES * hop))
    offset = torch.addmm(before, audio, mean, beta=1 - 1 / OFFSET_FRAMES)
    ramp = torch.arange(1, hop + 1) / hop
    both = torch.cat([before, offset], dim=1)
    return torch.addmm(audio, both, torch.stack([ramp - 1, -ramp])), offset


def _steadied(layer: SteadyFeatures, spectrum: Tensor, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `SteadyFeatures.steadied` for one frame: one factor compresses and divides by the level.

    The first result is (batch, 3 * bin), as `SteadyFeatures.forward` returns it: a view less.
    """
    spectrum = spectrum.flatten(1, 2)  # (batch, 2, bin)
    size = torch.linalg.vector_norm(spectrum, dim=1).clamp_min(POWER_FLOOR**0.5)
    shrunk = size ** (1 - COMPRESSION)  # with a third, it is the square of the compressed magnitude too
    level, after = _level(layer, shrunk, audio, state)
    scale = shrunk * level
    return torch.cat([size / scale, (spectrum / scale.unsqueeze(1)).flatten(1)], dim=1), after


def _level(layer: SteadyFeatures, shrunk: Tensor, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `SteadyFeatures._level` for one frame: all averages and limits are one product.

    Args:
        layer: for its time constant.
        shrunk: (batch, bin) squares of compressed magnitudes.
        audio, state: as there.

    Returns:
        Level (batch, 1), and the next averages.
    """
    bins = shrunk.shape[1]
    weight = hard_sigmoid(audio.abs().amax(1, keepdim=True), STEEP, -STEEP * SILENCE)
    decays = torch.tensor([layer.decay, 1 - 1 / RECENT_FRAMES])
    # Rows: the mean of the squares, the weight, the averages before. Columns: the averages after.
    sums = torch.cat([torch.zeros(bins + 1, 4), torch.diag(decays.repeat(2))])
    sums[:bins, :2], sums[bins, 2:] = (1 - decays) / bins, 1 - decays
    # More columns: the slow average, the highest and the lowest level near the recent one, as quotients.
    sizes = sums[:, [0, 1, 1]] * torch.tensor([1.0, MOST, 1 / MOST])
    matrix = torch.cat([sums, sizes, sums[:, [2, 3, 3]]], dim=1)
    offset = torch.tensor([0.0] * 7 + [FORGOTTEN] * 3)
    values = torch.addmm(offset, torch.cat([weight * shrunk, weight, state], dim=1), matrix)
    after, of_sizes, of_weights = values.split([4, 3, 3], dim=1)
    slow, highest, lowest = (of_sizes / of_weights).split(1, dim=1)
    steady = torch.maximum(torch.minimum(slow, highest), lowest)
    return steady.clamp_min(LEAST).sqrt() + LEVEL_FLOOR, after


def _evidence(layer: SteadyFeatures, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
    """Compute `SteadyFeatures.evidence` for one frame."""
    return signal[:, : layer.bins].unflatten(1, (layer.bands, -1)).mean(2)


def _short_time_form(layer: ShortTimeFeatures, many: bool) -> dict[str, Any]:
    methods: dict[str, Any] = {"transform": partial(_transform, layer)}
    if not many:
        methods["analyse"] = partial(_analyse, layer)
    return methods


def _steady_form(layer: SteadyFeatures, many: bool) -> dict[str, Any]:
    methods = _short_time_form(layer, many)
    if not many:
        methods |= {
            "_centred": partial(_centred, layer),
            "steadied": partial(_steadied, layer),
            "evidence": partial(_evidence, layer),
        }
    return methods


def _mask_form(layer: MaskHead, many: bool) -> dict[str, Any]:
    methods: dict[str, Any] = {"transform": partial(_transform_back, layer)}
    if not many and not own_methods(layer):  # which would be passed over
        methods["forward"] = partial(_mask, layer)
    return methods


FORMS: dict[type[nn.Module], Form] = {
    ShortTimeFeatures: _short_time_form,
    SteadyFeatures: _steady_form,
    OverlapAddHead: replaced_by(transform=_transform_back),
    MaskHead: _mask_form,
}
