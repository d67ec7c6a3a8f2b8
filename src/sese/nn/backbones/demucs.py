"""Slimmable causal DEMUCS (Adaptive Slimming, arXiv 2507.04879, WASPAA 2025).

Encoder blocks of stride 4 double the channels, a grouped GRU runs at one frame a hop, decoder blocks mirror
the encoder, and skips are added. Every block is slimmed inside by one shared site, the *width*; the signals
between blocks keep their full width.

As in the published DEMUCS, deeper blocks see further ahead. Skips, and so the output, are held back until the
deeper blocks have caught up. At 16 kHz that is 21.3 ms after the 16 ms frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_router, level_frames, router_of
from sese.nn.enhancer import Enhancer
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.heads.waveform import WaveformHead
from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.parts import Backbone
from sese.nn.plan import Keep, Plan, Site, resolve, sorting
from sese.nn.state import State, delay, push


@dataclass(frozen=True)
class DemucsConfig(SystemConfig):
    """Configuration of slimmable DEMUCS; the defaults are the paper's (arXiv 2507.04879).

    Attributes:
        sample_rate: Sample rate in Hz.
        channels, depth, stride, factors, groups, layers: See `Demucs`.
        oversampling: Factor of the sample rate inside, 1, 2 or 4 (U).
        level_seconds: Time constant of the running level in seconds.
        router_channels: Number of channels of the router that picks the levels, 16 in the paper; 0 for no
            router.
    """

    description: ClassVar[str] = "Causal slimmable DEMUCS that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {"channels": 8, "depth": 4, "oversampling": 1, "groups": 2}

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
            InputError: a value out of its range, or values that do not fit together.
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
        """Build the network with fresh weights."""
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


class Demucs(Backbone):
    """Enhance samples with a slimmable DEMUCS.

    Args:
        channels: Number of channels after the first encoder block (H); they double with each block.
        depth: Number of encoder and of decoder blocks (L).
        stride: Stride of every block (S); kernels are twice as long (K = 2 S).
        factors: Utilization factors (UF), growing, the last one 1; hidden widths are ceil(factor * width).
        groups: Number of GRUs side by side (M).
        layers: Number of GRUs on top of each other.
    """

    frames_apart = True
    """The units that a frame keeps change no state, so frames of a level can run together."""

    def __init__(
        self,
        channels: int = 32,
        depth: int = 5,
        stride: int = 4,
        factors: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0),
        groups: int = 8,
        layers: int = 2,
    ):
        super().__init__()
        self.stride, self.depth = stride, depth
        widths = [1] + [channels * 2**level for level in range(depth)]
        self.channels = tuple(widths)
        shares = tuple(b - a for a, b in zip((0.0, *factors), factors, strict=False))
        self.sites = (Site("width", shares, "prefix"),)
        encoder: list[Any] = []
        decoder: list[Any] = []
        for level in range(depth):
            outer, inner = widths[level], widths[level + 1]
            hidden = tuple(math.ceil(factor * inner) for factor in factors)
            encoder.append(SlimEncoderBlock(outer, inner, stride, hidden))
            decoder.insert(0, SlimDecoderBlock(inner, outer, stride, hidden, last=level == 0))
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.gru = GroupedGRU(widths[-1], groups, layers)

    @property
    def frame_samples(self) -> int:
        """Number of samples of one frame of the bottleneck, and of one decision."""
        return self.stride**self.depth

    def delay(self, level: int) -> int:
        """Return the delay of the output of encoder `level` (0: the input), in its own samples."""
        return sum(self.stride**power for power in range(1, self.depth - level + 1))

    @property
    def lookahead_samples(self) -> int:
        """Delay of the output in the backbone's samples."""
        return self.delay(0)

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        totals = [0]
        for units in range(1, self.sites[0].units + 1):
            total = 0
            for level in range(self.depth):
                encoder: Any = self.encoder[self.depth - 1 - level]
                decoder: Any = self.decoder[level]
                total += self.stride**level * (encoder.macs(units) + decoder.macs(units))
            totals.append(total)
        return self.gru.macs(), {"width": [b - a for a, b in pairwise(totals)]}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        shapes: dict[str, tuple[int, ...]] = {"input": (self.stride, 1)}
        for level in range(self.depth):
            shapes[f"decoder.{self.depth - 1 - level}"] = (1, self.stride * self.channels[level])
            if level + 1 < self.depth:
                shapes[f"skip.{level}"] = (self.delay(level + 1), self.channels[level + 1])
        shapes["gru"] = (self.gru.layers, self.channels[-1])
        return shapes

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance samples.

        Args:
            x: Samples (batch, time), time a multiple of `frame_samples`.
            plan: Units that run in each frame, for the site ``width``.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            Samples (batch, time), late by `lookahead_samples`, and the next state.
        """
        keep = plan["width"]
        if isinstance(keep, Tensor) and torch.is_grad_enabled():
            order = sorting(keep)
            if order is not None:  # rows of a level that lie side by side are not copied in every block
                inside = {name: value[order] for name, value in state.items()}
                y, after = self._run(x[order], keep[order], inside)
                back = order.argsort()
                return y[back], {name: value[back] for name, value in after.items()}
        return self._run(x, keep, state)

    def _run(self, x: Tensor, keep: Keep, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance samples as `forward` does; `keep` is the plan of the site ``width``."""
        batch, frames = x.shape[0], x.shape[1] // self.frame_samples
        kept = resolve(keep, batch, frames)
        after: dict[str, Tensor] = {}
        skips: list[Tensor] = []
        h = x.unsqueeze(2)
        late, after["input"] = delay(state["input"], h)
        for level, encoder in enumerate(self.encoder):
            h = encoder(h, late, kept)
            if level + 1 < self.depth:
                # The samples held back for the decoder include those that the next encoder needs late.
                history = state[f"skip.{level}"]
                joined, after[f"skip.{level}"] = push(history, h)
                skips.append(joined[:, : -history.shape[1]])
                late = joined[:, history.shape[1] - self.stride : -self.stride]
        residual = h
        h, after["gru"] = self.gru(h, state["gru"])
        h = h + residual
        for level, decoder in enumerate(self.decoder):
            if level > 0:
                h = h + skips.pop()
            h, after[f"decoder.{level}"] = decoder(h, kept, state[f"decoder.{level}"])
        return h.squeeze(2), after
