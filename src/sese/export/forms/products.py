"""Slimmable branches and blocks that are matrix products, in the form in which they are traced.

The inputs and outputs of DEMUCS' slimmable products are marked, so that the export can give each level its
own product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.layers.slim import BandMap, ChannelMap

ENTER, LEAVE = "Enter", "Leave"
"""Markers around a slimmable product, operators in the domain ``sese``; their attribute ``features`` is the
width of the rows there."""


def _band_map(layer: BandMap, x: Tensor, hidden: int) -> Tensor:
    """Compute `BandMap.forward`; for one frame the products do the additions as well."""
    frames = x.shape[0]
    if not isinstance(frames, int) or frames != 1:
        return BandMap.forward(layer, x, hidden)
    y, stream = (value.flatten(2).squeeze(0) for value in (layer.norm(x), x))
    h = F.relu(torch.addmm(layer.in_bias[:hidden, None], layer.in_weight[:hidden], y))
    return torch.addmm(stream, layer.out_weight[:hidden].t(), h).view(x.shape)


def _channel_map(layer: ChannelMap, x: Tensor, hidden: int) -> Tensor:
    """Compute `ChannelMap.forward`; the second product adds to the stream."""
    h = F.relu(F.linear(layer.norm(x).flatten(0, 2), layer.in_weight[:hidden], layer.in_bias[:hidden]))
    return torch.addmm(x.flatten(0, 2), h, layer.out_weight[:hidden]).view(x.shape)


def _glu(block: SlimEncoderBlock, h: Tensor) -> Tensor:
    """Compute `SlimEncoderBlock._outer` by two products: the sigmoid is fused, and nothing is split."""
    weights = block.pointwise_weight.chunk(2, dim=1)
    biases = block.pointwise_bias.chunk(2)
    value, gate = (torch.addmm(bias, h, weight) for bias, weight in zip(biases, weights, strict=True))
    return value * gate.sigmoid()


def _marked(run: Callable[..., Tensor], marker: str) -> Callable[..., Tensor]:
    """Return a method that marks what goes into it (`ENTER`), or what comes out of it (`LEAVE`)."""

    def marked(x: Tensor, *arguments: Any) -> Tensor:
        if marker == ENTER:
            return run(_mark(x, marker), *arguments)
        return _mark(run(x, *arguments), marker)

    return marked


def _mark(x: Tensor, marker: str) -> Tensor:
    return torch.onnx.ops.symbolic(
        f"sese::{marker}", (x,), {"features": x.shape[1]}, dtype=x.dtype, shape=x.shape, version=1
    )


def _encoder_form(layer: SlimEncoderBlock, many: bool) -> dict[str, Any]:
    return {"_inner": _marked(layer._inner, ENTER), "_outer": _marked(partial(_glu, layer), LEAVE)}


def _decoder_form(layer: SlimDecoderBlock, many: bool) -> dict[str, Any]:
    return {"_inner": _marked(layer._inner, ENTER), "_outer": _marked(layer._outer, LEAVE)}


FORMS: dict[type[nn.Module], Form] = {
    BandMap: replaced_by(forward=_band_map),
    ChannelMap: replaced_by(forward=_channel_map),
    SlimEncoderBlock: _encoder_form,
    SlimDecoderBlock: _decoder_form,
}
