"""The recurrence of GRUs side by side, after the products with their input, by C kernels in training on CPUs.

Autograd would keep a dozen small tensors of every step. Here all steps run in one call, and the gradients of
the weights are products over all steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sese.nn.layers import slim_kernels


def recur(gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Run GRUs over their steps, with the gates of PyTorch's `nn.GRU` (reset, update, new).

    Args:
        gates: (group, row, step, 3 * unit) products with the input, with their bias, in any precision.
        hidden: (group, row, unit) before the first step.
        weight: (group, unit, 3 * unit) of the state.
        bias: (group, 3 * unit) of the state.

    Returns:
        States (group, row, step, unit) after each step, float32.
    """
    return _Recurrence.apply(gates, hidden, weight, bias)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype = gates.dtype
        gates = gates.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        states, recurrent = slim_kernels.gru(gates, hidden, weight.contiguous(), bias.contiguous())
        ctx.save_for_backward(gates, weight, states, recurrent)
        return states[:, :, 1:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        gates, weight, states, recurrent = ctx.saved_tensors
        given = gates, weight, states, recurrent, slope.contiguous()
        dgates, dproducts, dhidden = slim_kernels.gru_backward(*given)
        flat = dproducts.flatten(1, 2)
        before = states[:, :, :-1].flatten(1, 2)
        return dgates.to(ctx.dtype), dhidden, torch.bmm(before.transpose(1, 2), flat), flat.sum(1)
