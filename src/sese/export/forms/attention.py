"""Attention in the form in which it is traced."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sese.export.forms.form import Form, replaced_by
from sese.nn.layers.dynamic import DynamicAttention


def _attend(
    layer: DynamicAttention, query: Tensor, key: Tensor, value: Tensor, offset: Tensor | None = None
) -> Tensor:
    """Compute `DynamicAttention._attend` by ONNX' product; PyTorch takes minutes to trace its own."""

    def product(a: Tensor, b: Tensor) -> Tensor:
        shape = (*a.shape[:-1], b.shape[-1])
        return torch.onnx.ops.symbolic("MatMul", (a, b), dtype=a.dtype, shape=shape)

    scores = product(query / math.sqrt(layer.size), key.transpose(-1, -2))
    if offset is not None:
        scores = scores + offset
    return product(torch.softmax(scores, dim=-1), value)


FORMS: dict[type[nn.Module], Form] = {DynamicAttention: replaced_by(_attend=_attend)}
