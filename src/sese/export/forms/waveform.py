"""Features of samples in the form in which they are traced.

For one frame, averages and limits of the level are rows of small products: an operator takes longer than
what it computes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sese.export.forms.form import STEEP, Form, hard_sigmoid
from sese.nn.features.level import FORGOTTEN, SILENCE
from sese.nn.features.waveform import FALL, LAST_LIMIT, LEVEL_FLOOR, NO_LIMIT, WaveformFeatures
from sese.nn.state import State

SIZES = [1, 1, 1, 4, 4]
"""Numbers of columns of what `_sums` gives."""


def _levelled(
    layer: WaveformFeatures, sums: Tensor, ramp: Tensor, powers: Tensor, audio: Tensor, state: State
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Compute `WaveformFeatures.levelled` for one frame; see the functions below for the matrices."""
    peak = audio.abs().amax(1, keepdim=True)
    heard = hard_sigmoid(peak, STEEP, -STEEP * SILENCE)
    silent = hard_sigmoid(peak, -STEEP, 1 + STEEP * SILENCE)
    audio = audio * heard
    rows = torch.cat([audio, heard, state["offset"], state["offset_weight"], state["weight"]], dim=1)
    offset, offset_weight, weight, known, unknown = (rows @ sums).split(SIZES, dim=1)
    offsets, weights = torch.where(state["offset_weight"] > FORGOTTEN, known, unknown).chunk(2, dim=1)
    audio = audio - (offsets / weights.clamp_min(FORGOTTEN) * heard) @ ramp
    norm = torch.linalg.vector_norm(audio, dim=1, keepdim=True)
    newest, free = (torch.cat([norm * norm, silent, state["power"]], dim=1) @ powers).split(1, dim=1)
    recent = torch.cat([state["recent"], newest], dim=1)
    power = torch.minimum(free, recent.amax(1, keepdim=True) * weight)
    last = recent[:, layer.lasting_frames - layer.last_frames :].amax(1, keepdim=True)
    average = torch.minimum(power / weight.clamp_min(FORGOTTEN), LAST_LIMIT * last)
    gain = 1 / (average.sqrt() + LEVEL_FLOOR)
    previous = torch.where(state["gain"] > 0, state["gain"], gain)
    gains = torch.cat([torch.minimum(previous, FALL * gain), gain], dim=1) @ ramp
    after = {"offset": offset, "offset_weight": offset_weight, "power": power, "weight": weight}
    after |= {"recent": recent[:, 1:], "gain": torch.where(weight > FORGOTTEN, gain, 0.0)}
    return audio * gains, 1 / gains, after


def _sums(layer: WaveformFeatures) -> Tensor:
    """Return the matrix of the offset and of the weights after a frame.

    Rows: the samples; whether they count; the offset, its weight and the level's weight before. Columns: the
    offset, its weight and the level's weight after; twice two offsets and their two weights: those before
    and after, for a known offset, and twice those after, for one that is not.
    """
    hop, decays = layer.hop_length, torch.tensor([layer.offset_decay, layer.offset_decay, layer.decay])
    before, new = torch.zeros(2, hop + 4, 3)
    before[hop + 1 :] = torch.eye(3)
    new[:hop, 0], new[hop, 1:] = 1 / hop, 1.0
    after = before * decays + new * (1 - decays)
    known = [before[:, 0], after[:, 0], before[:, 1], after[:, 1]]
    return torch.cat([after, torch.stack(known, dim=1), after[:, [0, 0, 1, 1]]], dim=1)


def _powers(layer: WaveformFeatures) -> Tensor:
    """Return the matrix of powers.

    Rows: the sum of squares; silence; the average before. Columns: the power that limits later averages; the
    average.
    """
    new = 1 - layer.decay
    return torch.tensor([[1 / layer.hop_length, new / layer.hop_length], [NO_LIMIT, 0.0], [0.0, layer.decay]])


def _ramp(layer: WaveformFeatures) -> Tensor:
    """Return the matrix that interpolates over a frame from one value to another, as `level.ramps` does."""
    ramp = torch.arange(1, layer.hop_length + 1) / layer.hop_length
    return torch.stack([1 - ramp, ramp])


def _waveform_form(layer: WaveformFeatures, many: bool) -> dict[str, Any]:
    return {} if many else {"levelled": partial(_levelled, layer, _sums(layer), _ramp(layer), _powers(layer))}


FORMS: dict[type[nn.Module], Form] = {WaveformFeatures: _waveform_form}
