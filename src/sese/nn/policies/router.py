"""The router of Adaptive Slimming (arXiv 2507.04879): a small network that picks a level for every frame.

Conv1d -> ReLU -> diagonal GRU -> pointwise Conv1d gives a score for each level. In training a level is drawn
by Gumbel-softmax, straight through (Jang et al., arXiv 1611.01144); else the best score decides. A policy is
such a network; who turns its scores into a choice is an argument, since training, inference and a held
budget (`policies.budget`) differ in that alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.parts import Policy
from sese.nn.policies.budget import MEMORY
from sese.nn.state import State


class Router(Policy):
    """Scores for the levels, one decision a frame, causal, from the evidence of the frame and before.

    The paper's figure gives the parts; sizes follow its MAC count (kernel and stride of 128 samples, 16
    channels). Ours: the samples come at a steady level, so that loudness decides nothing, and the two
    convolution steps of a frame are averaged before the GRU, which then runs once a frame.

    Args:
        size: values a frame of what the features give as evidence.
        levels: number of levels.
        channels: of convolution and GRU.
        steps: of the convolution in a frame.
    """

    def __init__(self, size: int, levels: int, channels: int = 16, steps: int = 1):
        super().__init__()
        self.steps, self.channels = steps, channels
        self.conv = nn.Linear(size // steps, channels)
        self.gru = DiagonalGRU(channels)
        self.pointwise = nn.Linear(channels, levels)

    def macs(self) -> int:
        """Multiply-accumulates a frame."""
        return self.steps * self.conv.weight.numel() + self.gru.macs() + self.pointwise.weight.numel()

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis; ``memory`` belongs to whoever chooses."""
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
    """A GRU whose recurrent matrices are diagonal: each channel remembers itself alone.

    Args:
        channels: of input and state.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.input = nn.Linear(channels, 3 * channels)
        self.recurrent_weight = nn.Parameter(torch.empty(3, channels))
        nn.init.uniform_(self.recurrent_weight, -1 / math.sqrt(channels), 1 / math.sqrt(channels))

    def macs(self) -> int:
        """Multiply-accumulates of one frame; the diagonal products are element-wise and not counted."""
        return self.input.weight.numel()

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run over frames: x (batch, frame, channel), hidden (batch, channel) -> the same, next hidden."""
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
