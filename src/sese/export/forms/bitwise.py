"""Layers of bits in the form in which they are traced, and the codes that they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.features.codes import CodeFeatures
from sese.nn.layers.bitwise import Binarisation, Bits, BitwiseGRU, BitwiseLinear
from sese.nn.layers.packed_bits import pack, unpack

STEEP = 40.0
"""Slope at which tanh equals a sign to all digits from 0.5 on, where every hard sum lies."""


def _packed(layer: BitwiseLinear) -> Callable[[], Bits]:
    """Return `BitwiseLinear.bits` on weights that are bits in the file and unpacked when it is opened."""
    bits, count = layer.bits(), layer.weight.shape[1]
    signs = pack(bits.weight > 0)
    kept = None if bits.weight.all() else pack(bits.weight != 0)

    def unpacked() -> Bits:
        weight = 2 * unpack(signs, count) - 1
        return Bits(weight if kept is None else weight * unpack(kept, count), bits.offset, bits.scale)

    return unpacked


def _components(layer: CodeFeatures, power: Tensor) -> Tensor:
    """Compute `CodeFeatures.components` by comparisons."""
    return (power.unsqueeze(2) > layer.thresholds).to(torch.int32).sum(2).long()


def _hard_gru(layer: BitwiseGRU, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `BitwiseGRU.hard`: sums are half a unit or more from zero, where a hard sigmoid is a step."""
    gates, candidate = layer.gates.bits(), layer.candidate.bits()
    activations: dict[str, Any] = {
        "activations": ["HardSigmoid", "ScaledTanh"],
        "activation_alpha": [1.0, 1.0],
        "activation_beta": [0.5, STEEP],
    }
    offsets = (gates.offset, candidate.offset)
    return _reset_first(layer, x, hidden, (gates.weight, candidate.weight), offsets, activations)


def _soft_gru(layer: BitwiseGRU, x: Tensor, hidden: Tensor, how: Binarisation) -> tuple[Tensor, Tensor]:
    """Compute `BitwiseGRU.forward` without bits."""
    assert not how.share
    weights = (torch.tanh(layer.gates.weight.detach()), torch.tanh(layer.candidate.weight.detach()))
    return _reset_first(layer, x, hidden, weights, (layer.gates.bias, layer.candidate.bias), {})


def _reset_first(
    layer: BitwiseGRU,
    x: Tensor,
    hidden: Tensor,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor, Tensor],
    activations: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Run a GRU whose reset gate acts before the product.

    The update gate of ONNX' GRU is the share of the old state, here it is the share of the new one, so its
    weights change their sign.

    Args:
        layer: for its sizes.
        x: (batch, frame, input).
        hidden: (batch, 1, unit).
        weights: of both gates (2 * unit, input + unit), and of the candidate (unit, input + unit).
        biases: of both gates (2 * unit,), and of the candidate (unit,).
        activations: attributes of the operator.

    Returns:
        (batch, frame, unit), and the next hidden state.
    """
    size = layer.size

    def gates(of_both: Tensor, of_new: Tensor) -> Tensor:
        reset, update = of_both.chunk(2)
        return torch.cat([-update, reset, of_new]).unsqueeze(0)

    weight, bias = gates(*weights), gates(*biases)
    y, last = torch.onnx.ops.symbolic_multi_out(
        "GRU",
        (
            x.transpose(0, 1),
            weight[:, :, : layer.inputs],
            weight[:, :, layer.inputs :],
            torch.cat([bias, torch.zeros_like(bias)], dim=1),
            None,
            hidden.transpose(0, 1),
        ),
        {"hidden_size": size, "linear_before_reset": 0, **activations},
        dtypes=(x.dtype, x.dtype),
        shapes=((x.shape[1], 1, x.shape[0], size), (1, x.shape[0], size)),
    )
    return y.squeeze(1).transpose(0, 1), last.transpose(0, 1)


def _linear_form(layer: BitwiseLinear, many: bool) -> dict[str, Any]:
    return {"bits": _packed(layer)}


FORMS: dict[type[nn.Module], Form] = {
    BitwiseLinear: _linear_form,
    BitwiseGRU: replaced_by(forward=_soft_gru, hard=_hard_gru),
    CodeFeatures: replaced_by(components=_components),
}
