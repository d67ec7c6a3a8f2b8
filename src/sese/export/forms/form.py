"""The form of a class of layers: the methods that replace its own while a network is traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Form = Callable[[Any, bool], Mapping[str, Callable[..., Any]]]
"""(layer, whether for any number of frames) -> the methods that replace the layer's own, by name."""

STEEP = 1e14
"""Slope at which `hard_sigmoid` is a step."""


def hard_sigmoid(x: Tensor, slope: float, offset: float) -> Tensor:
    """Compute slope * x + offset, limited to [0, 1], as one operator.

    A steep one takes the place of a comparison with a conversion to numbers. Behind a product, ONNX Runtime
    runs both as one operator.
    """
    if not torch.compiler.is_exporting():
        return (slope * x + offset).clamp(0.0, 1.0)
    attributes: dict[str, Any] = {"alpha": slope, "beta": offset}
    made: Tensor = torch.onnx.ops.symbolic("HardSigmoid", (x,), attributes, dtype=x.dtype, shape=x.shape)
    return made


def replaced_by(**functions: Callable[..., Any]) -> Form:
    """Return a form that is the same for one frame and for many.

    Args:
        functions: by the names of the methods that they replace; each takes the layer first.

    Example:
        >>> form = replaced_by(forward=lambda layer, x: layer.upper() + x)
        >>> form("layer", many=True)["forward"](" on x")
        'LAYER on x'
    """

    def form(layer: Any, many: bool) -> dict[str, Callable[..., Any]]:
        return {name: partial(function, layer) for name, function in functions.items()}

    return form


def own_methods(layer: nn.Module) -> dict[str, Callable[..., Any]]:
    """Return the methods that were replaced on a layer itself, as `export.on_spectra` does; they stay."""
    return {
        name: value for name, value in vars(layer).items() if hasattr(type(layer), name) and callable(value)
    }
