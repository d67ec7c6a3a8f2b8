"""The gate of a mixture of experts (arXiv 2005.08128): it scores experts by the audio so far.

GRU layers and a linear layer compute a logit for each expert in every frame. The scores are the running means
of the logits, so that the choice settles and one expert runs for an utterance, and no frame waits for the end
of the utterance. The publication uses the logits of a clip's last frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sese.nn.features.level import powers, smooth
from sese.nn.layers.held import HeldGRU
from sese.nn.parts import Policy
from sese.nn.policies.budget import MEMORY
from sese.nn.state import State


class Gate(Policy):
    """Score experts, causal, in the place of a router.

    Args:
        size: values a frame of the evidence of the features.
        experts: number of experts.
        hidden: width of the GRU layers.
        layers: number of GRU layers.
        mean_frames: time constant of the running mean, in frames, 2 or more.
    """

    def __init__(self, size: int, experts: int, hidden: int = 16, layers: int = 2, mean_frames: int = 625):
        super().__init__()
        self.size, self.decay = size, 1 - 1 / mean_frames
        # Any: PyTorch types the elements of a list as modules of any kind.
        self.recurrent: Any = nn.ModuleList(
            HeldGRU(hidden if layer else size, hidden) for layer in range(layers)
        )
        self.logits = nn.Linear(hidden, experts)
        self.parts = [*(hidden for _ in range(layers)), experts, 1]

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return sum(layer.macs() for layer in self.recurrent) + self.logits.weight.numel()

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis.

        ``gru`` has the layers' states, the running sums of the logits and their weight, side by side;
        ``memory`` belongs to the choice.
        """
        return {"gru": (sum(self.parts),), "memory": (MEMORY,)}

    def forward(self, evidence: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Score the experts.

        Args:
            evidence: (batch, frame * size) magnitudes.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, frame, expert) scores, and the next ``gru``.
        """
        x = evidence.unflatten(1, (-1, self.size))
        *hidden, sums, weight = state["gru"].split(self.parts, dim=1)
        after = []
        for layer, before in zip(self.recurrent, hidden, strict=True):
            x, last = layer(x, before.unsqueeze(1))
            after.append(last.squeeze(1))
        logits = self.logits(x).float()
        lines = logits.transpose(1, 2).flatten(0, 1)  # (batch * expert, frame)
        lines = smooth(lines, sums.reshape(-1, 1), self.decay)
        sums = lines.unflatten(0, (-1, logits.shape[2]))
        past = powers(self.decay, logits.shape[1], logits.device)
        weight = weight * past.to(logits.dtype) + (1 - past).to(logits.dtype)
        scores = (sums / weight.unsqueeze(1)).transpose(1, 2)
        return scores, torch.cat([*after, sums[:, :, -1], weight[:, -1:]], dim=1)
