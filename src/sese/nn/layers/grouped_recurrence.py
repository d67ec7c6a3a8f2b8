"""The recurrence of GRUs side by side, with its own backward pass that is fast on CPUs.

Autograd would keep a dozen tensors a step. Here rows, of which there are many, lie side by side in memory: a
step is one product for all groups and a few operations over long runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def grouped_gru(
    x: Tensor,
    hidden: Tensor,
    input_weight: Tensor,
    hidden_weight: Tensor,
    input_bias: Tensor,
    hidden_bias: Tensor,
    kept: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run GRUs side by side, with the gates of PyTorch's `nn.GRU` (reset, update, new).

    Args:
        x: (step, group, input, row).
        hidden: (group, unit, row) before the first step.
        input_weight, hidden_weight: (group, 3 * unit, input or unit).
        input_bias, hidden_bias: (group, 3 * unit, 1).
        kept: (step, group, 1, row), 1 where the state moves to the new value, 0 where it stays, or relaxed;
            None is 1.

    Returns:
        New values (step, group, unit, row), also where they are not kept, and the state after the last step.
    """
    return _GroupedGRU.apply(x, hidden, input_weight, hidden_weight, input_bias, hidden_bias, kept)


class _GroupedGRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        hidden: Tensor,
        input_weight: Tensor,
        hidden_weight: Tensor,
        input_bias: Tensor,
        hidden_bias: Tensor,
        kept: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        steps, groups, _, rows = x.shape
        units = hidden.shape[1]
        bias = input_bias.clone()
        bias[:, : 2 * units] += hidden_bias[:, : 2 * units]
        new_bias = hidden_bias[:, 2 * units :]
        gates = x.new_empty(steps, groups, 3 * units, rows)
        recurrent = x.new_empty(steps, groups, units, rows)  # what the reset gate acts on
        made = x.new_empty(steps, groups, units, rows)
        # The state after a step is the new value, unless a step may be left out.
        states = None if kept is None else x.new_empty(steps, groups, units, rows)
        product = x.new_empty(groups, 3 * units, rows)
        h = hidden
        for step in range(steps):
            gate = gates[step]
            torch.baddbmm(bias, input_weight, x[step], out=gate)
            torch.bmm(hidden_weight, h, out=product)
            both, new = gate[:, : 2 * units], gate[:, 2 * units :]
            both += product[:, : 2 * units]
            both.sigmoid_()
            torch.add(product[:, 2 * units :], new_bias, out=recurrent[step])
            new.addcmul_(both[:, :units], recurrent[step]).tanh_()
            torch.lerp(new, h, both[:, units:], out=made[step])
            if states is None:
                h = made[step]
            else:
                assert kept is not None
                h = torch.lerp(h, made[step], kept[step], out=states[step])
        ctx.save_for_backward(
            x, hidden, gates, recurrent, made, states, input_weight, hidden_weight, hidden_bias, kept
        )
        return made, h.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, hidden, gates, recurrent, made, states, input_weight, hidden_weight, hidden_bias, kept = (
            ctx.saved_tensors
        )
        steps, groups, _, rows = x.shape
        units = hidden.shape[1]
        states = made if states is None else states
        to_x, to_kept = torch.empty_like(x), None if kept is None else torch.empty_like(kept)
        to_input_weight, to_hidden_weight = torch.zeros_like(input_weight), torch.zeros_like(hidden_weight)
        to_bias = hidden_bias.new_zeros(groups, 4 * units)
        # Gradients of what enters the gates, new (state's share), reset, update, new (input's share): the
        # state's three and the input's three are then matrices side by side.
        slopes = x.new_empty(groups, 4 * units, rows)
        to_new_state, to_reset, to_update, to_new = slopes.split(units, dim=1)
        from_state, from_input = slopes[:, : 3 * units], slopes[:, units:]
        turned = torch.cat([hidden_weight[:, 2 * units :], hidden_weight[:, : 2 * units]], dim=1)
        turned, across = turned.transpose(1, 2).contiguous(), input_weight.transpose(1, 2).contiguous()
        slope, factor = torch.empty_like(hidden), torch.empty_like(hidden)
        later = gradients[1]
        for step in range(steps - 1, -1, -1):
            reset, update, new = gates[step].split(units, dim=1)
            before = states[step - 1] if step else hidden
            if kept is None:
                total = gradients[0][step] + later
            else:
                assert to_kept is not None
                torch.sub(made[step], before, out=factor)
                torch.sum(factor.mul_(later), dim=1, keepdim=True, out=to_kept[step])
                total = torch.addcmul(gradients[0][step], kept[step], later)
            torch.addcmul(total, total, update, value=-1, out=slope)
            torch.mul(new, new, out=factor)
            torch.addcmul(slope, slope, factor, value=-1, out=to_new)
            torch.sub(before, new, out=factor)
            torch.mul(factor.mul_(slope), update, out=to_update)
            torch.mul(to_new, reset, out=to_new_state)
            torch.mul(to_new_state, recurrent[step], out=factor)
            torch.addcmul(factor, factor, reset, value=-1, out=to_reset)
            to_input_weight.baddbmm_(from_input, x[step].transpose(1, 2))
            to_hidden_weight.baddbmm_(from_state, before.transpose(1, 2))
            to_bias += slopes.sum(2)
            torch.bmm(across, from_input, out=to_x[step])
            total.mul_(update)
            if kept is not None:
                total += torch.addcmul(later, later, kept[step], value=-1)
            later = total.baddbmm_(turned, from_state)
        return (
            to_x,
            later,
            to_input_weight,
            to_hidden_weight.roll(-units, 1),
            to_bias[:, units:, None],
            to_bias[:, : 3 * units, None].roll(-units, 1),
            to_kept,
        )
