"""Conv-FSENet with dynamic channel pruning (arXiv 2412.17121)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.conv_fsenet import ConvFSENet
from sese.nn.enhancer import Enhancer
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.heads.real_mask import RealMaskHead
from sese.nn.policies.channel_gates import ChannelGates, Surrogate
from sese.nn.policies.router import Router
from sese.nn.systems.common import check_window, level_frames, router_of

ROUTER_BANDS = 32


@dataclass(frozen=True)
class ConvFSENetConfig:
    """Conv-FSENet; the defaults are the paper's sizes (arXiv 2412.17121).

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        compression: power that magnitudes are raised to before the network, above 0 and at most 1.
        channels, hidden, stacks, blocks, kernel, units, causal: see `ConvFSENet`.
        level_seconds: time constant of the running level.
        gate_channels: hidden channels of the gates that pick channels in each block; 0 has no gates.
        gate_bias: added to the biases of fresh gates; at 0 they are open about half of the time, at 1 nearly
            always.
        surrogate, surrogate_slope: the gates' gradient, see `channel_gates`.
        router_channels: channels of a router that picks a level for all blocks, in place of gates; 0 has
            none.
    """

    description: ClassVar[str] = "Conv-FSENet with pruned channels that removes noise from speech."

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
            InputError: values that no such network can have.
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
        """Number of levels; with gates there is the dense network and what they pick."""
        return 1 if self.gate_channels else self.units

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
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
