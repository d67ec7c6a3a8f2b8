"""Sparse mixture of local experts (arXiv 2005.08128): small recurrent networks, of which a frame runs one.

Each expert makes a mask of the magnitudes on its own: GRU layers, a linear layer, a sigmoid. Under relaxed
choices, in training, all run and their masks are mixed; else a frame runs the expert that was chosen for it,
and the others' states stay as they were. One expert is a plain network, the generalist of the papers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sese.nn.layers.held import HeldGRU
from sese.nn.plan import Plan, Site
from sese.nn.runs import mixed_or_picked, one_hot
from sese.nn.state import State


class LocalExperts(nn.Module):
    """From magnitudes to real masks.

    Args:
        bins: of a spectrum.
        hidden: width of the GRU layers of each expert.
        layers: GRU layers of each expert.
        experts: 1 or more.
    """

    frames_apart = False
    """What a frame runs decides what the states become, so frames must run in order."""

    def __init__(self, bins: int = 257, hidden: int = 64, layers: int = 2, experts: int = 1):
        super().__init__()
        self.bins = bins
        # Any: PyTorch's type of what is in a list says nothing.
        self.experts: Any = nn.ModuleList(Expert(bins, hidden, layers) for _ in range(experts))
        self.sites = (Site("expert", (1 / experts,) * experts, "one_hot"),)

    @property
    def frame_samples(self) -> int:
        """Values a frame, in and out."""
        return self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        return 0, {"expert": [expert.macs() for expert in self.experts]}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Weights that a frame of the expert number `units` does not touch: of each the first 0."""
        own = f"experts.{units - 1}."
        return {name: (0,) for name, _ in self.named_parameters() if not name.startswith(own)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        return {
            f"experts.{number}.{name}": shape
            for number, expert in enumerate(self.experts)
            for name, shape in expert.state_shapes().items()
        }

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Make masks.

        Args:
            x: (batch, frame * bin) magnitudes.
            plan: for the site ``expert``, which one runs; relaxed, in what shares their masks are mixed.
            state: tensors as in `state_shapes`.

        Returns:
            Masks in [0, 1], as x is laid out, and the next state.
        """
        frames = x.unflatten(1, (-1, self.bins))
        masks, after = mixed_or_picked(self._mixed, self._picked, frames, plan["expert"], state)
        return masks.flatten(1), after

    def _mixed(self, x: Tensor, shares: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mix the masks of all experts in shares (batch, frame, expert).

        Where the shares are a choice, drawn in training, it decides on the states as it does without
        gradients; where they are none, every expert hears every frame.
        """
        after, masks = dict(state), torch.zeros_like(x)
        chosen = one_hot(shares)
        for number, share in enumerate(shares.split(1, dim=2)):
            made, own = self.experts[number](x, self._own(state, number), share if chosen else None)
            after |= {f"experts.{number}.{name}": h for name, h in own.items()}
            masks = masks + share * made
        return masks, after

    def _picked(self, x: Tensor, number: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, bin) by one expert, counted from 1; the others' states go by."""
        masks, own = self.experts[number - 1](x, self._own(state, number - 1))
        return masks, dict(state) | {f"experts.{number - 1}.{name}": h for name, h in own.items()}

    def _own(self, state: State, number: int) -> dict[str, Tensor]:
        return {name: state[f"experts.{number}.{name}"] for name in self.experts[number].state_shapes()}


class Expert(nn.Module):
    """GRU layers, a linear layer and a sigmoid.

    Args:
        bins: in and out.
        hidden: width of the GRU layers.
        layers: number of them.
    """

    def __init__(self, bins: int, hidden: int, layers: int):
        super().__init__()
        self.recurrent: Any = nn.ModuleList(
            HeldGRU(hidden if layer else bins, hidden) for layer in range(layers)
        )
        self.mask = nn.Linear(hidden, bins)

    def macs(self) -> int:
        """Multiply-accumulates of a frame."""
        return sum(layer.macs() for layer in self.recurrent) + self.mask.weight.numel()

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        return {f"recurrent.{number}": (1, layer.size) for number, layer in enumerate(self.recurrent)}

    def forward(
        self, x: Tensor, state: State, kept: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Make masks: (batch, frame, bin) -> the same, and the next state.

        Args:
            x: magnitudes.
            state: tensors as in `state_shapes`.
            kept: (batch, frame, 1) of 0/1, in which frames the state moves on; None for all.
        """
        after = {}
        for number, layer in enumerate(self.recurrent):
            name = f"recurrent.{number}"
            x, after[name] = layer(x, state[name]) if kept is None else layer.masked(x, kept, state[name])
        return torch.sigmoid(self.mask(x)), after
