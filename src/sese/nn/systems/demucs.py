"""Slimmable DEMUCS (arXiv 2507.04879)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.demucs import Demucs
from sese.nn.enhancer import Enhancer
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.heads.waveform import WaveformHead
from sese.nn.systems.common import check_router, level_frames, router_of


@dataclass(frozen=True)
class DemucsConfig:
    """Slimmable DEMUCS; the defaults are the paper's (arXiv 2507.04879).

    Attributes:
        sample_rate: in Hz.
        channels, depth, stride, factors, groups, layers: see `Demucs`.
        oversampling: 1, 2 or 4 (U).
        level_seconds: time constant of the running level.
        router_channels: channels of the router that picks the levels, 16 in the paper; 0 has no router.
    """

    description: ClassVar[str] = "Causal slimmable DEMUCS that removes noise from speech."

    sample_rate: int = 16000
    channels: int = 32
    depth: int = 5
    stride: int = 4
    oversampling: int = 4
    factors: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    groups: int = 8
    layers: int = 2
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value that no DEMUCS can have.
        """
        object.__setattr__(self, "factors", tuple(float(factor) for factor in self.factors))
        at_least(self, 1, "model", "sample_rate", "channels", "depth", "groups", "layers")
        check_router(self)
        at_least(self, 2, "model", "stride")
        above_zero(self, "model", "level_seconds")
        if self.oversampling not in (1, 2, 4):
            raise InputError(f"model.oversampling is {self.oversampling}; use 1, 2 or 4")
        if self.stride**self.depth % self.oversampling:
            raise InputError(
                f"stride ** depth = {self.stride**self.depth} must be a multiple of {self.oversampling=}"
            )
        growing = all(a < b for a, b in zip((0.0, *self.factors), self.factors, strict=False))
        if not self.factors or not growing or self.factors[-1] != 1:
            raise InputError(f"model.factors is {list(self.factors)}; factors grow from above 0 up to 1")
        if self.channels * 2 ** (self.depth - 1) % self.groups:
            raise InputError(
                f"model.groups is {self.groups}; it must divide the bottleneck's "
                f"{self.channels * 2 ** (self.depth - 1)} channels"
            )

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.factors)

    def build(self) -> Enhancer:
        """The network, freshly initialised."""
        backbone = Demucs(self.channels, self.depth, self.stride, self.factors, self.groups, self.layers)
        hop_length = backbone.frame_samples // self.oversampling
        features = WaveformFeatures(hop_length, self.oversampling, level_frames(self, hop_length))
        lookahead = (
            features.lookahead_samples
            + backbone.lookahead_samples // self.oversampling
            + WaveformHead.lookahead_of(self.oversampling)
        )
        head = WaveformHead(hop_length, self.oversampling, lookahead)
        router = router_of(self, features, steps=1 if hop_length % 2 else 2)
        return Enhancer(features, backbone, head, self.sample_rate, hop_length, lookahead, router)
