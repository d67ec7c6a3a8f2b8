"""BLOOM-Net (arXiv 2111.09372): a separator that is grown block by block, made causal.

Learned filters turn overlapping windows of samples into features, and the separator's blocks refine a
residual stream. A level is the number of blocks that run. Each level has its own mask and its own decoder;
the encoder and the blocks below are shared. The published network sees the whole clip;
docs/systems/bloom_net.md says what is changed here.
"""

from __future__ import annotations

import math
from collections.abc import Collection
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
from sese.nn.layers.backward import PReLU
from sese.nn.layers.depthwise import ChannelNorm, DepthwiseBlock
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State, delay, push


@dataclass(frozen=True)
class BloomNetConfig(SystemConfig):
    """Configuration of BLOOM-Net; the defaults are the sizes of the paper's code.

    Attributes:
        sample_rate: Sample rate in Hz.
        hop_length: Samples of a frame, which has one level; a multiple of the stride.
        stride: Samples between the encoder's windows, which are twice as long.
        filters, channels, hidden, kernel_size, blocks, dilation_growth: See `BloomNet`.
        level_seconds: Time constant of the running level in seconds.
        router_channels: Number of channels of the router that picks the levels; 0 for no router.
    """

    description: ClassVar[str] = "Causal block-wise grown network that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {
        "hop_length": 16,
        "stride": 4,
        "filters": 12,
        "channels": 6,
        "hidden": 8,
        "blocks": 3,
    }

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
            InputError: a value out of its range, or values that do not fit together.
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
        """Build the network with fresh weights."""
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


class BloomNet(Backbone):
    """Enhance samples.

    Args:
        steps: Number of strides in a frame; a plan decides for whole frames.
        stride: Samples between windows, which are twice as long.
        filters: Number of features of a window.
        channels: Number of channels of the residual stream.
        hidden: Number of channels inside a block.
        kernel_size: Kernel size of the blocks' depthwise convolutions, in strides.
        blocks: Number of blocks, one for each level.
        dilation_growth: Factor from each block's dilation to that of the next; the first has 1.
    """

    frames_apart = False
    """The units that a frame keeps change its states, so frames must run in order."""

    def __init__(
        self,
        steps: int,
        stride: int,
        filters: int,
        channels: int,
        hidden: int,
        kernel_size: int,
        blocks: int,
        dilation_growth: int,
    ):
        super().__init__()
        self.steps, self.stride = steps, stride
        self.encoder = nn.Linear(2 * stride, filters, bias=False)
        self.norm = ChannelNorm(filters)
        self.bottleneck = nn.Linear(filters, channels)
        # Any: PyTorch does not know the type of a list's modules.
        self.blocks: Any = nn.ModuleList(
            DepthwiseBlock(channels, hidden, kernel_size, dilation_growth**block) for block in range(blocks)
        )
        self.masks: Any = nn.ModuleList(
            nn.Sequential(PReLU(), nn.Linear(channels, filters), nn.Sigmoid()) for _ in range(blocks)
        )
        decoders = [nn.Linear(filters, 2 * stride, bias=False) for _ in range(blocks)]
        with torch.no_grad():
            self.encoder.weight.copy_(fourier_frame(filters, 2 * stride))
            for decoder in decoders:
                decoder.weight.copy_(2 * self.encoder.weight.T)  # fresh masks are about a half
        self.decoders: Any = nn.ModuleList(decoders)
        # Rounded, because users give these as budgets.
        used = [round(block / blocks, 2) for block in range(blocks)] + [1.0]
        self.sites = (Site("depth", tuple(b - a for a, b in pairwise(used))),)

    def grow(self, new: Collection[str]) -> None:
        """Let new levels start as the highest old one, with its mask and decoder and a block of zeros.

        Args:
            new: Names of the weights of this network that are new.
        """
        levels = sorted({int(name.split(".")[1]) for name in new if name.startswith("blocks.")})
        with torch.no_grad():
            for level in levels:
                self.blocks[level].project.weight.zero_()
                self.blocks[level].project.bias.zero_()
                for parts in (self.masks, self.decoders):
                    parts[level].load_state_dict(parts[levels[0] - 1].state_dict())

    @property
    def frame_samples(self) -> int:
        """Number of samples of a frame."""
        return self.steps * self.stride

    @property
    def lookahead_samples(self) -> int:
        """Delay of the output in samples: a sample is complete after the last window that holds it."""
        return self.stride

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        filters, channels = self.encoder.out_features, self.bottleneck.out_features
        static = 2 * filters * (2 * self.stride + channels)
        return self.steps * static, {"depth": [self.steps * block.macs() for block in self.blocks]}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return how much of each weight `units` units use, from axis 0 on; whole ones are left out."""
        unused = {f"blocks.{block}" for block in range(units, len(self.blocks))} | {
            f"{part}.{level}"
            for part in ("masks", "decoders")
            for level in range(len(self.blocks))
            if level != units - 1
        }
        return {name: (0,) for name, _ in self.named_parameters() if ".".join(name.split(".")[:2]) in unused}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        shapes: dict[str, tuple[int, ...]] = {"input": (1, self.stride)}
        shapes |= {f"block.{i}": (block.past, block.hidden) for i, block in enumerate(self.blocks)}
        return shapes | {"overlap": (1, self.stride)}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance samples.

        Args:
            x: Samples (batch, time), time a multiple of `frame_samples`.
            plan: Blocks that run in each frame, for the site ``depth``.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            Samples (batch, time), late by `lookahead_samples`, and the next state.
        """
        frames = x.unflatten(1, (-1, self.frame_samples))
        made, state = masked_or_sliced(self._masked, self._sliced, frames, plan["depth"], state)
        return made.flatten(1), dict(state)

    def every_level(self, x: Tensor, state: State) -> list[Tensor]:
        """Enhance samples (batch, time) at every level, the lowest first, in one pass from a state."""
        frames = x.unflatten(1, (-1, self.frame_samples))
        features, x, _ = self._encode(frames, state)
        made = []
        for i, block in enumerate(self.blocks):
            x, _ = block(x, None, state[f"block.{i}"])
            made.append(self._overlap(self._decode(x, features, i), state, {})[0].flatten(1))
        return made

    def _sliced(self, frames: Tensor, keep: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, sample) that all keep `keep` units."""
        features, x, after = self._encode(frames, state)
        for i, block in enumerate(self.blocks):
            name = f"block.{i}"
            if i < keep:
                x, after[name] = block(x, None, state[name])
            else:
                after[name] = block.left_out(features.shape[1], state[name])
        return self._overlap(self._decode(x, features, keep - 1), state, after)

    def _masked(self, frames: Tensor, keep: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, sample) that keep what masks (batch, frame, unit) say."""
        features, x, after = self._encode(frames, state)
        kept = keep.repeat_interleave(self.steps, dim=1).split(1, dim=2)
        windows = x.new_zeros(())
        for i, block in enumerate(self.blocks):
            x, after[f"block.{i}"] = block(x, kept[i], state[f"block.{i}"])
            # The decoder of the last block that is kept makes the output.
            chosen = kept[i] - kept[i + 1] if i + 1 < len(self.blocks) else kept[i]
            windows = windows + chosen * self._decode(x, features, i)
        return self._overlap(windows, state, after)

    def _encode(self, frames: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Encode frames (batch, frame, sample) into features and stream, each (batch, step, channel)."""
        joined, past = push(state["input"], frames.flatten(1).unflatten(1, (-1, self.stride)))
        features = self.encoder(torch.cat([joined[:, :-1], joined[:, 1:]], dim=2))
        return features, self.bottleneck(self.norm(features)), {"input": past}

    def _decode(self, x: Tensor, features: Tensor, level: int) -> Tensor:
        """Decode windows (batch, step, 2 * stride) of a level from its stream and the features."""
        return self.decoders[level](self.masks[level](x) * features).float()

    def _overlap(
        self, windows: Tensor, state: State, after: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add each window's first half to the second half of the one before: (batch, frame, sample)."""
        first, second = windows.split(self.stride, dim=2)
        late, after["overlap"] = delay(state["overlap"], second)
        return (first + late).flatten(1).unflatten(1, (-1, self.frame_samples)), after


def fourier_frame(filters: int, length: int) -> Tensor:
    """Return initial filters (filter, sample): windowed cosines and sines at equal distances.

    With at least as many filters as samples, their transposes restore the samples from the features of
    windows that overlap by half. A network whose masks are one is then transparent from the start.
    """
    place = torch.arange(length) + 0.5
    angle = 2 * math.pi * (torch.arange((filters + 1) // 2).unsqueeze(1) + 0.5) * place / filters
    atoms = torch.cat([angle.cos(), angle.sin()])[:filters]
    return atoms * math.sqrt(2 / filters) * torch.sin(math.pi * place / length)
