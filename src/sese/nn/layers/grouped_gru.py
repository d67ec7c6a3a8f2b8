"""Grouped GRU: the channels are split into groups, each with a GRU of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sese.nn.layers import kernels
from sese.nn.layers.side_by_side import recur


class GroupedGRU(nn.Module):
    """Run `groups` independent GRUs side by side, in one batched product per step.

    Adaptive Slimming (arXiv 2507.04879) uses it between encoder and decoder in place of DEMUCS' LSTM.
    Gates follow PyTorch's `nn.GRU` (reset, update, new).

    Args:
        channels: full width, split evenly over the groups.
        groups: number of GRUs side by side.
        layers: GRUs on top of each other.
    """

    def __init__(self, channels: int, groups: int, layers: int):
        super().__init__()
        self.groups, self.layers, self.size = groups, layers, channels // groups
        shape = (layers, groups, self.size, 3 * self.size)
        self.input_weight = nn.Parameter(torch.empty(shape))
        self.hidden_weight = nn.Parameter(torch.empty(shape))
        self.input_bias = nn.Parameter(torch.empty(layers, groups, 1, 3 * self.size))
        self.hidden_bias = nn.Parameter(torch.empty(layers, groups, 1, 3 * self.size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(self.size), 1 / math.sqrt(self.size))

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame; biases and gate products are not counted."""
        return self.input_weight.numel() + self.hidden_weight.numel()

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run over frames.

        Args:
            x: (batch, frame, channel).
            hidden: (batch, layer, channel) the state of every layer.

        Returns:
            (batch, frame, channel), and the next hidden state.
        """
        if kernels.in_training(x):
            return self._by_kernels(x, hidden)
        batch, frames, channels = x.shape
        dtype = x.dtype
        x = x.reshape(batch * frames, self.groups, self.size).transpose(0, 1)
        lasts = []
        for layer in range(self.layers):
            projected = torch.bmm(x, self.input_weight[layer]) + self.input_bias[layer]
            steps = projected.view(self.groups, batch, frames, 3 * self.size).to(hidden.dtype).unbind(2)
            h = hidden[:, layer].reshape(batch, self.groups, self.size).transpose(0, 1)
            # The recurrence stays in full precision: casts of its weights at every step cost too much.
            with torch.autocast(x.device.type, enabled=False):
                outputs = self._recur(steps, h, self.hidden_weight[layer], self.hidden_bias[layer])
            lasts.append(outputs[-1].transpose(0, 1).reshape(batch, channels))
            x = torch.stack(outputs, dim=2).reshape(self.groups, batch * frames, self.size)
        y = x.transpose(0, 1).reshape(batch, frames, channels)
        return y.to(dtype), torch.stack(lasts, dim=1)

    def _by_kernels(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute `forward` in training on a CPU, all in full precision."""
        batch, frames, _ = x.shape
        apart = (self.groups, self.size)
        y = x.to(hidden.dtype).unflatten(2, apart).permute(2, 0, 1, 3)  # (group, batch, frame, unit)
        before = hidden.unflatten(2, apart).permute(1, 2, 0, 3)  # (layer, group, batch, unit)
        lasts = []
        with torch.autocast("cpu", enabled=False):
            for layer in range(self.layers):
                bias = self.input_bias[layer]
                gates = torch.baddbmm(bias, y.flatten(1, 2), self.input_weight[layer])
                gates = gates.unflatten(1, (batch, frames))
                y = recur(gates, before[layer], self.hidden_weight[layer], self.hidden_bias[layer, :, 0])
                lasts.append(y[:, :, -1])
        last = torch.stack(lasts).permute(2, 0, 1, 3).flatten(2)
        return y.permute(1, 2, 0, 3).flatten(2).to(x.dtype), last

    def _recur(self, steps: Sequence[Tensor], h: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
        """Run one layer over frames: projected inputs (group, batch, 3 * size) -> (group, batch, size)."""
        outputs = []
        both = 2 * self.size  # the reset and update gates come first
        for step in steps:
            recurrent = torch.baddbmm(bias, h, weight)
            gates = torch.sigmoid(step[..., :both] + recurrent[..., :both])
            reset, update = gates.chunk(2, dim=-1)
            new = torch.tanh(torch.addcmul(step[..., both:], reset, recurrent[..., both:]))
            h = new + update * (h - new)
            outputs.append(h)
        return outputs
