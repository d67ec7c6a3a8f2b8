"""Convolutions along time in the form in which they are traced, and their activation.

A block that gates decide on is traced, for one frame, as one operator of the domain ``sese``; `export.gates`
replaces it by operators that leave the closed channels out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.layers.depthwise import DepthwiseBlock
from sese.nn.layers.temporal_block import TemporalBlock

GATED = "Gated"
"""Marker of the depthwise products of a frame and the way back to the stream, of the channels that a mask
keeps. Its attributes: ``slope`` of the activation, ``group``, the channels that share a gate, ``hidden`` and
``channels``, the widths."""


def _depthwise(layer: TemporalBlock, joined: Tensor, width: int) -> Tensor:
    """Compute `TemporalBlock._depthwise` for one frame, without a convolution's changes of layout."""
    windows = joined[:, :: layer.dilation, :width].transpose(1, 2).unsqueeze(2)
    return (windows * layer.depthwise_weight[:width]).sum((2, 3))


def _masked(block: TemporalBlock, joined: Tensor, mask: Tensor) -> Tensor:
    """Compute `TemporalBlock._sliced` by masks: among many frames nearly every channel runs in one."""
    return block._masked(joined, mask, mask.shape[0], mask.shape[1])


def _gated(block: TemporalBlock, slope: float, joined: Tensor, mask: Tensor) -> Tensor:
    """Mark `TemporalBlock._sliced` for one frame."""
    norm = block.out_norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    added = torch.onnx.ops.symbolic(
        f"sese::{GATED}",
        (
            joined[:, :: block.dilation].transpose(1, 2),
            mask[:1],
            block.depthwise_weight,
            scale,
            norm.bias - norm.running_mean * scale,
            block.out_weight,
        ),
        {
            "group": block.group,
            "hidden": block.hidden,
            "channels": block.channels,
            "slope": slope,
        },
        dtype=joined.dtype,
        shape=(joined.shape[0], block.channels),
        version=1,
    )
    return added.unsqueeze(1)


def _convolve(layer: DepthwiseBlock, x: Tensor) -> Tensor:
    """Compute `DepthwiseBlock._convolve`, a product a tap: for few steps a convolution takes longer."""
    taps, y = layer.depthwise.weight[:, 0].unbind(1), layer.depthwise.bias
    assert y is not None
    for tap, factor in enumerate(taps):
        start, left = tap * layer.dilation, (len(taps) - 1 - tap) * layer.dilation
        y = y + x[:, start : -left or None] * factor
    return y


def _temporal_form(layer: TemporalBlock, many: bool) -> dict[str, Any]:
    if many:
        return {"_sliced": partial(_masked, layer)}
    slope = layer.out_slope.weight.item()
    return {"_depthwise": partial(_depthwise, layer), "_sliced": partial(_gated, layer, slope)}


def _prelu_form(layer: nn.PReLU, many: bool) -> dict[str, Any]:
    if layer.num_parameters != 1:
        return {}
    # ONNX Runtime's PRelu takes ten times as long.
    return {"forward": partial(F.leaky_relu, negative_slope=layer.weight.item())}


FORMS: dict[type[nn.Module], Form] = {
    TemporalBlock: _temporal_form,
    DepthwiseBlock: replaced_by(_convolve=_convolve),
    nn.PReLU: _prelu_form,
}
