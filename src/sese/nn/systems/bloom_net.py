"""BLOOM-Net (arXiv 2111.09372), causal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.errors import InputError
from sese.nn.backbones.bloom_net import BloomNet
from sese.nn.enhancer import Enhancer
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.heads.waveform import WaveformHead
from sese.nn.policies.router import Router


@dataclass(frozen=True)
class BloomNetConfig:
    """BLOOM-Net; the sizes that the paper's code has are the defaults.

    Attributes:
        sample_rate: in Hz.
        hop_length: samples a frame, for which a level is chosen; a multiple of the stride.
        stride: samples between the encoder's windows, which are twice as long.
        filters, channels, hidden, kernel_size, blocks, dilation_growth: see `BloomNet`.
        level_seconds: time constant of the running level.
        router_channels: channels of the router that picks the levels; 0 has no router.
    """

    description: ClassVar[str] = "Causal block-wise grown network that removes noise from speech."

    sample_rate: int = 16000
    hop_length: int = 256
    stride: int = 8
    filters: int = 512
    channels: int = 128
    hidden: int = 512
    kernel_size: int = 3
    blocks: int = 6
    dilation_growth: int = 1
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such network can have.
        """
        sizes = ("sample_rate", "stride", "filters", "channels", "hidden", "blocks", "dilation_growth")
        for name in sizes:
            if getattr(self, name) < 1:
                raise InputError(f"model.{name} is {getattr(self, name)}; use 1 or more")
        if self.kernel_size < 2:
            raise InputError(f"model.kernel_size is {self.kernel_size}; use 2 or more")
        if self.router_channels < 0:
            raise InputError(f"model.router_channels is {self.router_channels}; use 0 (no router) or more")
        if self.hop_length < 1 or self.hop_length % self.stride:
            raise InputError(
                f"model.hop_length is {self.hop_length}; use a multiple of the stride of {self.stride}"
            )

    @property
    def levels(self) -> int:
        """Number of levels."""
        return self.blocks

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        backbone = BloomNet(
            self.hop_length // self.stride,
            self.stride,
            self.filters,
            self.channels,
            self.hidden,
            self.kernel_size,
            self.blocks,
            self.dilation_growth,
        )
        level_frames = max(2, round(self.level_seconds * self.sample_rate / self.hop_length))
        features = WaveformFeatures(self.hop_length, 1, level_frames)
        lookahead = backbone.lookahead_samples
        head = WaveformHead(self.hop_length, 1, lookahead)
        router = None
        if self.router_channels:
            steps = 1 if self.hop_length % 2 else 2
            router = Router(features.evidence_size, self.levels, self.router_channels, steps)
        return Enhancer(features, backbone, head, self.sample_rate, self.hop_length, lookahead, router)
