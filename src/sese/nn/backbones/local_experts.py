"""Sparse mixture of local experts (arXiv 2005.08128): small recurrent networks, of which a frame runs one.

Each expert makes a mask of the magnitudes on its own: GRU layers, a linear layer, a sigmoid. Under relaxed
choices, in training, all run and their masks are mixed; else a frame runs the expert that was chosen for it,
and the others' states stay as they were. One expert is a plain network, the generalist of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_window, level_frames
from sese.nn.enhancer import Enhancer
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.heads.real_mask import RealMaskHead
from sese.nn.layers.held import HeldGRU
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.policies.gate import Gate
from sese.nn.runs import mixed_or_picked, one_hot
from sese.nn.state import State


@dataclass(frozen=True)
class LocalExpertsConfig(SystemConfig):
    """GRU networks that make a mask, one of which runs, picked by a gate; one expert is a plain such network.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        hidden, layers: of each expert's GRU.
        experts: 1 or more.
        level_seconds: time constant of the running level.
        compression: power that magnitudes are raised to.
        gate_hidden: width of the GRU of the gate that picks an expert; 0 has no gate. Published: 1 to 128.
        gate_layers: of that GRU. Published: 2 and 3.
        gate_bands: values a frame that the gate hears, means of even bands; 0 for every bin, as published.
        gate_seconds: time constant of the running mean of the gate's logits.
    """

    description: ClassVar[str] = "Causal recurrent experts, one of which runs, that remove noise from speech."
    small: ClassVar[dict[str, Any]] = {"n_fft": 64, "hop_length": 32, "hidden": 6, "experts": 3}

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    hidden: int = 64
    layers: int = 2
    experts: int = 1
    level_seconds: float = 2.0
    compression: float = 0.5
    gate_hidden: int = 0
    gate_layers: int = 2
    gate_bands: int = 0
    gate_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        at_least(self, 1, "model", "sample_rate", "hop_length", "hidden", "layers", "experts", "gate_layers")
        check_window(self, 64)
        above_zero(self, "model", "level_seconds", "compression", "gate_seconds")
        if self.gate_hidden < 0:
            raise InputError(f"model.gate_hidden is {self.gate_hidden}; use 0 (no gate) or more")
        if self.gate_hidden and self.experts < 2:
            raise InputError("model.gate_hidden makes a gate, and model.experts is 1; use 2 or more experts")
        if self.gate_bands < 0 or (self.gate_bands and self.n_fft // 2 % self.gate_bands):
            raise InputError(
                f"model.gate_bands is {self.gate_bands}; use 0 (every bin) or a divisor of {self.n_fft // 2}"
            )

    @property
    def levels(self) -> int:
        """Number of levels: the experts."""
        return self.experts

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        rate, hop = self.sample_rate, self.hop_length
        bands = self.gate_bands or self.n_fft // 2
        features = MagnitudeFeatures(self.n_fft, hop, level_frames(self, hop), self.compression, bands)
        backbone = LocalExperts(self.n_fft // 2 + 1, self.hidden, self.layers, self.experts)
        head = RealMaskHead(self.n_fft, hop)
        gate = None
        if self.gate_hidden:
            mean_frames = max(2, round(self.gate_seconds * rate / hop))
            gate = Gate(features.evidence_size, self.experts, self.gate_hidden, self.gate_layers, mean_frames)
        return Enhancer(features, backbone, head, rate, hop, head.lookahead_samples, gate)


class LocalExperts(Backbone):
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
