"""A GRU layer that a frame may skip; its state stays until a frame runs it again."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.layers.recurrence import gru


class HeldGRU(GroupedGRU):
    """Run one GRU whose input may have another width than its state; frames may skip it.

    Args:
        inputs: width of the input.
        size: hidden units.
    """

    def __init__(self, inputs: int, size: int):
        super().__init__(size, groups=1, layers=1)
        bound = 1 / math.sqrt(size)
        self.input_weight = nn.Parameter(torch.empty(1, 1, inputs, 3 * size).uniform_(-bound, bound))

    def weights(self) -> list[Tensor]:
        """Return the weights in the order of `recurrence.gru`.

        Returns:
            Matrices of the input (3 * unit, input) and of the state (3 * unit, unit), and their biases
            (3 * unit,).
        """
        matrices = [matrix[0, 0].t() for matrix in (self.input_weight, self.hidden_weight)]
        return matrices + [bias.flatten() for bias in (self.input_bias, self.hidden_bias)]

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run all frames.

        Args:
            x: (batch, frame, input).
            hidden: (batch, 1, unit).

        Returns:
            (batch, frame, unit), and the next hidden state.
        """
        device, weights = x.device.type, self.weights()
        if torch.is_autocast_enabled(device):  # once, not at every step
            weights[:2] = [weight.to(torch.get_autocast_dtype(device)) for weight in weights[:2]]
        with torch.autocast(device, enabled=False):
            h = gru(x.transpose(0, 1), hidden[:, 0], *weights).transpose(0, 1)
        return h, h[:, -1:]

    def masked(self, x: Tensor, kept: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run every frame, and change the state where the frame is kept.

        Args:
            x: (batch, frame, input).
            kept: (batch, frame, 1) of 0/1, or relaxed.
            hidden: (batch, 1, unit).

        Returns:
            (batch, frame, unit), which is valid where kept is 1, and the next hidden state.
        """
        input_weight, hidden_weight, input_bias, hidden_bias = self.weights()
        outputs, h = [], hidden[:, 0]
        both = 2 * self.size  # the reset and update gates come first
        with torch.autocast(x.device.type, enabled=False):
            projected = F.linear(x.to(h.dtype), input_weight, input_bias)
            for step, here in zip(projected.unbind(1), kept.to(h.dtype).unbind(1), strict=True):
                recurrent = F.linear(h, hidden_weight, hidden_bias)
                reset, update = torch.sigmoid(step[:, :both] + recurrent[:, :both]).chunk(2, dim=-1)
                new = torch.tanh(torch.addcmul(step[:, both:], reset, recurrent[:, both:]))
                new = new + update * (h - new)
                outputs.append(new)
                h = h + here * (new - h)
        return torch.stack(outputs, dim=1), h.unsqueeze(1)
