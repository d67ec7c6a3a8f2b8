"""The router of Adaptive Slimming (arXiv 2507.04879): a small network that scores the levels of every frame.

Conv1d -> ReLU -> diagonal GRU -> pointwise Conv1d computes a score for each level. In training a level is
chosen at random by Gumbel-softmax (`choice.gumbel`); otherwise the best score decides, or a budget.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.layers import kernels
from sese.nn.layers.side_by_side import recur
from sese.nn.parts import Policy
from sese.nn.policies.budget import MEMORY
from sese.nn.state import State


class Router(Policy):
    """Score the levels of each frame, causal, from the evidence so far.

    The paper's figure shows the parts; sizes follow its MAC count (kernel and stride of 128 samples, 16
    channels). Two things differ: the samples have a steady level, so that loudness has no effect, and the
    two convolution steps of a frame are averaged before the GRU, which then runs once a frame.

    Args:
        size: values a frame of the evidence of the features.
        levels: number of levels.
        channels: number of channels of convolution and GRU.
        steps: number of convolution steps in a frame.
    """

    def __init__(self, size: int, levels: int, channels: int = 16, steps: int = 1):
        super().__init__()
        self.steps, self.channels = steps, channels
        self.conv = nn.Linear(size // steps, channels)
        self.gru = DiagonalGRU(channels)
        self.pointwise = nn.Linear(channels, levels)

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return self.steps * self.conv.weight.numel() + self.gru.macs() + self.pointwise.weight.numel()

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis; ``memory`` belongs to the choice."""
        return {"gru": (self.channels,), "memory": (MEMORY,)}

    def forward(self, evidence: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Score the levels.

        Args:
            evidence: (batch, frame * size), samples at a steady level or magnitudes.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, frame, level) scores, and the next state of the GRU.
        """
        windows = evidence.unflatten(1, (-1, self.steps, self.conv.in_features))
        hidden, last = self.gru(F.relu(self.conv(windows)).mean(2), state["gru"])
        return self.pointwise(hidden).float(), last


class DiagonalGRU(nn.Module):
    """Run a GRU whose recurrent matrices are diagonal: each channel depends on its own past only.

    Args:
        channels: width of input and state.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.input = nn.Linear(channels, 3 * channels)
        self.recurrent_weight = nn.Parameter(torch.empty(3, channels))
        nn.init.uniform_(self.recurrent_weight, -1 / math.sqrt(channels), 1 / math.sqrt(channels))

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame; the element-wise diagonal products are not counted."""
        return self.input.weight.numel()

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run over frames.

        Args:
            x: (batch, frame, channel).
            hidden: (batch, channel).

        Returns:
            (batch, frame, channel), and the next hidden state.
        """
        if kernels.in_training(x):
            return self._by_kernels(x, hidden)
        reset_weight, update_weight, new_weight = self.recurrent_weight.unbind(0)
        outputs = []
        for step in self.input(x).to(hidden.dtype).unbind(1):
            reset, update, new = step.chunk(3, dim=-1)
            reset = torch.sigmoid(reset + reset_weight * hidden)
            update = torch.sigmoid(update + update_weight * hidden)
            new = torch.tanh(new + reset * (new_weight * hidden))
            hidden = new + update * (hidden - new)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), hidden

    def _by_kernels(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Compute `forward` in training on a CPU: each channel is a group of one unit."""
        weight = self.recurrent_weight.t()
        gates = self.input(x).unflatten(2, self.recurrent_weight.shape).permute(3, 0, 1, 2)
        states = recur(gates, hidden.t().unsqueeze(2), weight.unsqueeze(1), torch.zeros_like(weight))
        outputs = states.squeeze(3).permute(1, 2, 0)
        return outputs, outputs[:, -1]
