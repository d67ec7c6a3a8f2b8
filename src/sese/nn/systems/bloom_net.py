"""BLOOM-Net (arXiv 2111.09372), causal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.bloom_net import BloomNet
from sese.nn.enhancer import Enhancer
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.heads.waveform import WaveformHead
from sese.nn.systems.common import check_router, level_frames, router_of


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
        sizes = ("stride", "filters", "channels", "hidden", "blocks", "dilation_growth")
        at_least(self, 1, "model", "sample_rate", *sizes)
        at_least(self, 2, "model", "kernel_size")
        above_zero(self, "model", "level_seconds")
        check_router(self)
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
        features = WaveformFeatures(self.hop_length, 1, level_frames(self, self.hop_length))
        lookahead = backbone.lookahead_samples
        head = WaveformHead(self.hop_length, 1, lookahead)
        router = router_of(self, features, steps=1 if self.hop_length % 2 else 2)
        return Enhancer(features, backbone, head, self.sample_rate, self.hop_length, lookahead, router)
