"""The gated mixer in the form in which it is traced: its branches, and its bands."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.backbones.gated_mixer import GatedMixer
from sese.nn.layers.gated import BandMap, GatedRecurrence

RECUR = "Recur"
"""Marker of h = keep h + added over frames, in the domain ``sese``; the export puts a loop in its place."""


def _band_map(layer: BandMap, x: Tensor, hidden: int) -> Tensor:
    """Compute `BandMap.forward` without the casts of training."""
    weights = layer.in_weight[:hidden], layer.in_bias[:hidden, None], layer.out_weight[:hidden].t()
    h = F.relu(torch.matmul(weights[0], layer.norm(x)) + weights[1])
    return x + torch.matmul(weights[2], h)


def _recurrence(layer: GatedRecurrence, x: Tensor, hidden: int, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `GatedRecurrence.forward` by three products, with fused activations."""
    frames, units, rows = x.shape[0], slice(hidden), x.flatten(0, 2)
    y = layer.norm(rows)
    weights, biases = layer.in_weight[units].unbind(1), layer.in_bias[units].unbind(1)
    keep, value, gate = (
        torch.addmm(bias, y, weight.t()) for weight, bias in zip(weights, biases, strict=True)
    )
    keep, parts = torch.sigmoid(keep), [state]
    if hidden < layer.size:
        parts = list(state.split([hidden, layer.size - hidden], dim=2))
    if isinstance(frames, int) and frames == 1:
        h = value + keep * (parts[0].flatten(0, 1) - value)
        parts[0] = h.unflatten(0, (-1, layer.bands))
    else:
        shaped = (frames, *parts[0].shape)
        keep, value = keep.view(shaped), value.view(shaped)
        h = torch.onnx.ops.symbolic(
            f"sese::{RECUR}", (keep, (1 - keep) * value, parts[0]), dtype=x.dtype, shape=shaped, version=1
        )
        parts[0] = h[-1]
        h = h.flatten(0, 2)
    added = torch.addmm(rows, h * F.silu(gate), layer.out_weight[units]).view(x.shape)
    return added, torch.cat(parts, dim=2) if hidden < layer.size else parts[0]


def _encode(layer: GatedMixer, spectra: Tensor) -> Tensor:
    """Compute `GatedMixer._encode` by one look-up of all windows of a width, in blocks of bins.

    Beyond the ends a window has zeros.
    """
    frames, batch = spectra.shape[:2]
    starts = [0, *accumulate(count * bins for count, bins in layer.bands)]
    sizes = [
        math.gcd(bins, bins // 2, start, layer.bins)
        for (_, bins), start in zip(layer.bands, starts, strict=False)
    ]
    flat = F.pad(spectra.flatten(2), (0, math.lcm(*sizes)))
    encoded = []
    for linear, (count, bins), start, size in zip(layer.encoder, layer.bands, starts, sizes, strict=False):
        inside = torch.arange(-(bins // 2), count * bins + bins // 2, size)
        chunks = inside.unflatten(0, (count + 1, bins // size))
        windows = torch.cat([chunks[:-1], chunks[1:]], dim=1).unsqueeze(1)  # (band, 1, block)
        part = torch.arange(3).view(1, 3, 1) * layer.bins
        beyond = (windows < 0) | (windows >= count * bins)
        places = torch.where(beyond, 3 * layer.bins, part + start + windows) // size
        looked = (
            flat.unflatten(2, (-1, size)).index_select(2, places.flatten()).view(frames, batch, count, -1)
        )
        encoded.append(F.linear(looked, linear.weight))  # type: ignore[arg-type]
    return torch.cat(encoded, dim=2) + layer.offset


def _decode(layer: GatedMixer, x: Tensor) -> Tensor:
    """Compute `GatedMixer._decode` by two look-ups in all windows: of blocks in one half and in the other."""
    decoded: list[Tensor] = []
    first: list[Tensor] = []
    second: list[Tensor] = []
    start = 0
    widths = [count for count, _ in layer.bands]
    total = sum(4 * bins * count for count, bins in layer.bands)
    size = math.gcd(*(size for _, bins in layer.bands for size in (bins, bins // 2)))
    for linear, part, (count, bins) in zip(layer.decoder, x.split(widths, dim=2), layer.bands, strict=True):
        decoded.append(F.linear(part, linear.weight).flatten(2))  # type: ignore[arg-type]
        at = torch.arange(0, count * bins, size) + bins // 2  # in the sum of windows, with its ends
        chunk, within = at // bins, at % bins
        for places, band, half in ((first, chunk, 0), (second, chunk - 1, 1)):
            of_parts = [
                torch.where(
                    (band >= 0) & (band < count),
                    start + band * 4 * bins + half * 2 * bins + which * bins + within,
                    total,
                )
                for which in range(2)
            ]
            places.append(torch.stack(of_parts) // size)
        start += count * 4 * bins
    blocks = F.pad(torch.cat(decoded, dim=2), (0, size)).unflatten(2, (-1, size))
    looked = [blocks.index_select(2, torch.cat(places, dim=1).flatten()) for places in (first, second)]
    return (looked[0] + looked[1]).view(*x.shape[:2], 2, layer.bins)


FORMS: dict[type[nn.Module], Form] = {
    BandMap: replaced_by(forward=_band_map),
    GatedRecurrence: replaced_by(forward=_recurrence),
    GatedMixer: replaced_by(_encode=_encode, _decode=_decode),
}
