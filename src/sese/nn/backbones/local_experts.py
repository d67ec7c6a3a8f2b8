"""Sparse mixture of local experts (arXiv 2005.08128): small recurrent networks, one of which runs in a frame.

Each expert computes a mask from the magnitudes: GRU layers, a linear layer, a sigmoid. Under relaxed choices,
in training, all run and their masks are mixed. Else a frame runs the expert chosen for it, and the others'
states stay as they were. A single expert is the generalist of the papers.
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
    """Configuration of GRU networks, one of which runs, picked by a gate; one expert needs no gate.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        hidden, layers: Width and number of layers of each expert's GRU.
        experts: Number of experts, 1 or more.
        level_seconds: Time constant of the running level in seconds.
        compression: Exponent of the magnitudes.
        gate_hidden: Width of the GRU of the gate that picks an expert; 0 for no gate. Published: 1 to 128.
        gate_layers: Number of layers of that GRU. Published: 2 and 3.
        gate_bands: Number of values of a frame that the gate hears, means of equal bands; 0 for every bin, as
            published.
        gate_seconds: Time constant of the running mean of the gate's logits in seconds.
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
            InputError: a value out of its range, or values that do not fit together.
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
        """Build the network with fresh weights."""
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
    """Compute real masks from magnitudes.

    Args:
        bins: Number of bins of a spectrum.
        hidden: Width of the GRU layers of each expert.
        layers: Number of GRU layers of each expert.
        experts: Number of experts, 1 or more.
    """

    frames_apart = False
    """The expert that a frame runs changes the states, so frames must run in order."""

    def __init__(self, bins: int = 257, hidden: int = 64, layers: int = 2, experts: int = 1):
        super().__init__()
        self.bins = bins
        # Any: PyTorch does not know the type of a list's modules.
        self.experts: Any = nn.ModuleList(Expert(bins, hidden, layers) for _ in range(experts))
        self.sites = (Site("expert", (1 / experts,) * experts, "one_hot"),)

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame, in and out."""
        return self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        return 0, {"expert": [expert.macs() for expert in self.experts]}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the weights that a frame of expert `units` does not use, each with the length 0."""
        own = f"experts.{units - 1}."
        return {name: (0,) for name, _ in self.named_parameters() if not name.startswith(own)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        return {
            f"experts.{number}.{name}": shape
            for number, expert in enumerate(self.experts)
            for name, shape in expert.state_shapes().items()
        }

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks.

        Args:
            x: Magnitudes (batch, frame * bin).
            plan: Expert that runs in each frame, for the site ``expert``; relaxed, the shares of the mix.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            Masks in [0, 1] in the layout of x, and the next state.
        """
        frames = x.unflatten(1, (-1, self.bins))
        masks, after = mixed_or_picked(self._mixed, self._picked, frames, plan["expert"], state)
        return masks.flatten(1), after

    def _mixed(self, x: Tensor, shares: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mix the masks of all experts in shares (batch, frame, expert).

        Where the shares are a choice, sampled in training, it decides on the states as without gradients.
        Where they are no choice, every expert hears every frame.
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
    """Compute a mask with GRU layers, a linear layer and a sigmoid.

    Args:
        bins: Number of bins, in and out.
        hidden: Width of the GRU layers.
        layers: Number of GRU layers.
    """

    def __init__(self, bins: int, hidden: int, layers: int):
        super().__init__()
        self.recurrent: Any = nn.ModuleList(
            HeldGRU(hidden if layer else bins, hidden) for layer in range(layers)
        )
        self.mask = nn.Linear(hidden, bins)

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return sum(layer.macs() for layer in self.recurrent) + self.mask.weight.numel()

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        return {f"recurrent.{number}": (1, layer.size) for number, layer in enumerate(self.recurrent)}

    def forward(
        self, x: Tensor, state: State, kept: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks: (batch, frame, bin) -> the same shape, and the next state.

        Args:
            x: Magnitudes (batch, frame, bin).
            state: Tensors with the shapes of `state_shapes`.
            kept: Frames in which the state changes, (batch, frame, 1) of 0 and 1; None for all.
        """
        after = {}
        for number, layer in enumerate(self.recurrent):
            name = f"recurrent.{number}"
            x, after[name] = layer(x, state[name]) if kept is None else layer.masked(x, kept, state[name])
        return torch.sigmoid(self.mask(x)), after
