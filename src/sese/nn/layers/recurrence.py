"""The recurrence of a GRU, with its own backward pass that is fast on CPUs.

Autograd would keep a dozen tensors a step and sum the weights' gradients step by step. Here the products with
the input run for all steps before the loop, and the gradients of the weights after it. One product and a few
element-wise operations are left in the loop. In training under bfloat16 autocast a C kernel runs the loop.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from sese.nn.layers import kernels
from sese.nn.layers.side_by_side import recur


def gru(
    x: Tensor,
    hidden: Tensor,
    input_weight: Tensor,
    hidden_weight: Tensor,
    input_bias: Tensor,
    hidden_bias: Tensor,
) -> Tensor:
    """Run a GRU and return its states, with the gates of PyTorch's `nn.GRU` (reset, update, new).

    Args:
        x: (step, row, input).
        hidden: (row, unit) before the first step.
        input_weight, hidden_weight: (3 * unit, input or unit); products run in their precision.
        input_bias, hidden_bias: (3 * unit,).

    Returns:
        (step, row, unit), in the precision of `hidden`.
    """
    if torch.is_grad_enabled() and input_weight.dtype == torch.bfloat16 and kernels.on(hidden):
        gates = F.linear(x.to(torch.bfloat16), input_weight).transpose(0, 1) + input_bias
        made = recur(gates[None], hidden[None], hidden_weight.t().float()[None], hidden_bias[None])
        return made[0].transpose(0, 1)
    return _GRU.apply(x, hidden, input_weight, hidden_weight, input_bias, hidden_bias)


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        hidden: Tensor,
        input_weight: Tensor,
        hidden_weight: Tensor,
        input_bias: Tensor,
        hidden_bias: Tensor,
    ) -> Tensor:
        steps, rows, _ = x.shape
        units = hidden.shape[1]
        flat = x.flatten(0, 1).to(input_weight.dtype)
        gates = torch.mm(flat, input_weight.t()).to(hidden.dtype).view(steps, rows, 3 * units)
        gates += input_bias
        gates[..., : 2 * units] += hidden_bias[: 2 * units]
        recurrent = hidden.new_empty(steps, rows, units)  # what the reset gate acts on
        states = hidden.new_empty(steps + 1, rows, units)
        states[0] = hidden
        matrix, bias = hidden_weight.t(), hidden_bias[2 * units :]
        for step in range(steps):
            before, gate = states[step], gates[step]
            product = torch.mm(before.to(matrix.dtype), matrix)
            both, new = gate[:, : 2 * units], gate[:, 2 * units :]
            both += product[:, : 2 * units]
            both.sigmoid_()
            torch.add(product[:, 2 * units :], bias, out=recurrent[step])
            new.addcmul_(both[:, :units], recurrent[step]).tanh_()
            torch.lerp(new, before, both[:, units:], out=states[step + 1])
        ctx.save_for_backward(flat, states, gates, recurrent, input_weight, hidden_weight)
        return states[1:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        flat, states, gates, recurrent, input_weight, hidden_weight = ctx.saved_tensors
        steps, rows, units = gradient.shape
        # Gradients of what enters the gates, new (state's share), reset, update, new (input's share): the
        # state's three and the input's three are then matrices side by side. All of a step stays in cache.
        slopes = hidden_weight.new_empty(steps, rows, 4 * units)
        turned = torch.cat([hidden_weight[2 * units :], hidden_weight[: 2 * units]])
        total, new_slope, slope, factor = (torch.empty_like(states[0]) for _ in range(4))
        later = torch.zeros_like(states[0])
        for step in range(steps - 1, -1, -1):
            reset, update, new = gates[step].split(units, dim=1)
            to_state, to_reset, to_update, to_input = slopes[step].split(units, dim=1)
            torch.add(gradient[step], later, out=total)
            torch.addcmul(total, total, update, value=-1, out=slope)
            torch.mul(new, new, out=factor)
            torch.addcmul(slope, slope, factor, value=-1, out=new_slope)
            to_input.copy_(new_slope)
            torch.sub(states[step], new, out=factor)
            torch.mul(slope, factor, out=factor)
            to_update.copy_(factor.mul_(update))
            new_slope.mul_(reset)
            to_state.copy_(new_slope)
            torch.mul(new_slope, recurrent[step], out=factor)
            to_reset.copy_(factor.addcmul_(factor, reset, value=-1))
            later = torch.mm(slopes[step, :, : 3 * units], turned).to(total.dtype)
            later.addcmul_(total, update)
        slopes = slopes.flatten(0, 1)
        to_hidden, to_input = slopes[:, : 3 * units], slopes[:, units:]
        before = states[:-1].flatten(0, 1).to(hidden_weight.dtype)
        sums = torch.mm(slopes.new_ones(1, len(slopes)), slopes).squeeze(0).to(gradient.dtype)
        return (
            torch.mm(to_input, input_weight).view(steps, rows, -1).to(gradient.dtype),
            later,
            torch.mm(to_input.t(), flat),
            torch.mm(to_hidden.t(), before).roll(-units, 0),
            sums[units:],
            sums[: 3 * units].roll(-units, 0),
        )
