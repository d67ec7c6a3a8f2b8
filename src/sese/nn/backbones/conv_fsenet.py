"""Conv-FSENet (arXiv 2412.17121): a temporal convolutional network from magnitudes to a real mask.

It has a pointwise layer, stacks of residual blocks whose dilation doubles from block to block, a pointwise
layer and a sigmoid. The stream between blocks keeps its width; inside each block any of its units, groups of
hidden channels, can be left out in any frame.

Where blocks look ahead, each holds its input back until it has seen what follows, so that the same code
streams; the mask then belongs to a frame that came `ahead` frames before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_window, level_frames, router_of
from sese.nn.enhancer import Enhancer
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.heads.real_mask import RealMaskHead
from sese.nn.layers.temporal_block import TemporalBlock
from sese.nn.parts import Backbone, Gate
from sese.nn.plan import Keep, Plan, Site
from sese.nn.policies.channel_gates import ChannelGates, Surrogate
from sese.nn.policies.router import Router
from sese.nn.state import State, delay

ROUTER_BANDS = 32


@dataclass(frozen=True)
class ConvFSENetConfig(SystemConfig):
    """Configuration of Conv-FSENet; the defaults are the paper's sizes (arXiv 2412.17121).

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        compression: Exponent of the magnitudes before the network, in (0, 1].
        channels, hidden, stacks, blocks, kernel, units, causal: See `ConvFSENet`.
        level_seconds: Time constant of the running level in seconds.
        gate_channels: Number of hidden channels of the gates that pick channels in each block; 0 for no
            gates.
        gate_bias: Value added to the biases of fresh gates; at 0 they are open about half of the time, at 1
            nearly always.
        surrogate, surrogate_slope: Gradient of the gates, see `channel_gates`.
        router_channels: Number of channels of a router that picks a level for all blocks, instead of gates; 0
            for no router.
    """

    description: ClassVar[str] = "Conv-FSENet with pruned channels that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {"channels": 8, "hidden": 8, "stacks": 1, "blocks": 2}

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    compression: float = 1.0
    channels: int = 128
    hidden: int = 256
    stacks: int = 3
    blocks: int = 3
    kernel: int = 3
    units: int = 4
    causal: bool = True
    level_seconds: float = 2.0
    gate_channels: int = 0
    gate_bias: float = 0.0
    surrogate: Surrogate = "sigmoid"
    surrogate_slope: float = 1.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        sizes = ("channels", "hidden", "stacks", "blocks", "units")
        at_least(self, 1, "model", "sample_rate", "hop_length", *sizes)
        above_zero(self, "model", "level_seconds", "surrogate_slope")
        for name in ("gate_channels", "router_channels"):
            if getattr(self, name) < 0:
                raise InputError(f"model.{name} is {getattr(self, name)}; use 0 (none) or more")
        if self.gate_channels and self.router_channels:
            raise InputError("model.gate_channels and model.router_channels are both set; use one of them")
        if self.router_channels and not self.causal:
            raise InputError(
                "model.causal is false and model.router_channels is set: a router's frame comes out later in "
                "each block; use gates, or fixed levels"
            )
        if not self.causal and self.kernel % 2 == 0:
            raise InputError(f"model.kernel is {self.kernel}; without model.causal use an odd number")
        at_least(self, 2, "model", "kernel")
        check_window(self)
        if self.hidden % self.units:
            raise InputError(f"model.units is {self.units}; it must divide the {self.hidden} hidden channels")
        if self.router_channels and self.hop_length % ROUTER_BANDS:
            raise InputError(
                f"model.hop_length is {self.hop_length}; a router needs a multiple of {ROUTER_BANDS}"
            )
        if not 0 < self.compression <= 1:
            raise InputError(f"model.compression is {self.compression}; use above 0 and at most 1")
        if self.surrogate not in get_args(Surrogate):
            raise InputError(f"model.surrogate is {self.surrogate!r}; choose from {get_args(Surrogate)}")

    @property
    def levels(self) -> int:
        """Number of levels; with gates 1, the dense network."""
        return 1 if self.gate_channels else self.units

    @property
    def kind(self) -> str:
        """Kind of network that only some training methods can train."""
        return "gates" if self.gate_channels else ""

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        features = MagnitudeFeatures(
            self.n_fft, self.hop_length, level_frames(self, self.hop_length), self.compression, ROUTER_BANDS
        )
        backbone = ConvFSENet(
            features.bins,
            self.channels,
            self.hidden,
            self.stacks,
            self.blocks,
            self.kernel,
            self.units,
            self.causal,
        )
        head = RealMaskHead(self.n_fft, self.hop_length, backbone.ahead)
        policy: ChannelGates | Router | None = None
        if self.gate_channels:
            policy = ChannelGates(
                len(backbone.blocks),
                self.channels,
                self.gate_channels,
                self.units,
                self.surrogate,
                self.surrogate_slope,
                self.gate_bias,
            )
        else:
            policy = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, policy)


class ConvFSENet(Backbone):
    """Compute masks from magnitudes.

    Args:
        bins: Number of values of a frame, in and out.
        channels: Number of channels of the stream (B).
        hidden: Number of channels inside a block (H).
        stacks, blocks: Number of stacks, and of blocks in each (R and X).
        kernel: Kernel size of the depthwise convolutions in frames.
        units: Number of equal groups of hidden channels in a block; one for each channel gives each its own
            gate.
        causal: Whether blocks only look back; else they look as far ahead, and a plan says what runs in each
            block for the frame that it computes then.
    """

    frames_apart = False
    """Blocks look back over frames, so a traced level is a graph of its own."""

    def __init__(
        self,
        bins: int,
        channels: int,
        hidden: int,
        stacks: int,
        blocks: int,
        kernel: int,
        units: int,
        causal: bool = True,
    ):
        super().__init__()
        self.bins = bins
        self.encoder = nn.Linear(bins, channels)
        # Any: PyTorch does not know the type of a list's modules.
        self.blocks: Any = nn.ModuleList(
            TemporalBlock(channels, hidden, kernel, 2**number, units, causal)
            for _ in range(stacks)
            for number in range(blocks)
        )
        self.decoder = nn.Linear(channels, bins)
        shares = (1 / units,) * units
        self.sites = tuple(Site(f"block.{i}", shares, "any") for i in range(len(self.blocks)))

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame, in and out."""
        return self.bins

    @property
    def ahead(self) -> int:
        """Number of later frames that a mask depends on, which is its delay."""
        return sum(block.ahead for block in self.blocks)

    @property
    def past(self) -> int:
        """Number of earlier frames that a mask depends on."""
        return sum(block.past for block in self.blocks) - self.ahead

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        costs = [block.macs() for block in self.blocks]
        static = self.encoder.weight.numel() + self.decoder.weight.numel() + sum(cost for cost, _ in costs)
        return static, {site.name: units for site, (_, units) in zip(self.sites, costs, strict=True)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        shapes = {f"past.{i}": (block.past, block.hidden) for i, block in enumerate(self.blocks)}
        held = {f"held.{i}": (block.ahead, block.channels) for i, block in enumerate(self.blocks)}
        return shapes | {name: shape for name, shape in held.items() if shape[0]}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks.

        Args:
            x: Magnitudes (batch, frame * bin).
            plan: Units that run in each block.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            The mask in (0, 1) in the layout of x, late by `ahead` frames, and the next state.
        """
        mask, _, state = self._run(x, lambda block, _: plan[f"block.{block}"], state)
        return mask, state

    def gated(self, x: Tensor, gate: Gate, state: State) -> tuple[Tensor, dict[str, Keep], dict[str, Tensor]]:
        """Compute masks as `forward` does, with a plan that gates make; return mask, plan and next state."""
        return self._run(x, gate, state)

    def _run(
        self, x: Tensor, keep_of: Callable[[int, Tensor], Keep], state: State
    ) -> tuple[Tensor, dict[str, Keep], dict[str, Tensor]]:
        """Run the blocks; `keep_of` returns the units that a block keeps, from its number and its input."""
        stream = torch.relu(self.encoder(x.unflatten(1, (-1, self.bins))))
        after: dict[str, Tensor] = {}
        ran: dict[str, Keep] = {}
        for i, (block, site) in enumerate(zip(self.blocks, self.sites, strict=True)):
            held = stream
            if block.ahead:
                held, after[f"held.{i}"] = delay(state[f"held.{i}"], stream)
            keep = keep_of(i, held)
            made, after[f"past.{i}"] = block(stream, keep, state[f"past.{i}"])
            stream, ran[site.name] = held + made, keep
        return torch.sigmoid(self.decoder(stream)).flatten(1), ran, after
