"""FTF-Net with dynamic parts: a causal U-Net on spectra with recurrence and attention along both axes.

This is Zhao and Madhu's FTF-Net (arXiv 2505.21057), as far as it is published, as a dynamically slimmable
network (arXiv 2510.11395). Strided convolutions along frequency turn a spectrum into bands of channels;
blocks of a grouped GRU and of attention run along frequency, time and frequency again; transposed
convolutions with added skips compute a complex mask. A level keeps the first groups, heads and output
channels of all of them. docs/systems/ftf_net.md says what is published and what is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_router, check_window, level_frames, router_of
from sese.nn.enhancer import Enhancer
from sese.nn.features.stft import SpectralFeatures
from sese.nn.heads.mask import MaskHead
from sese.nn.layers.dynamic import SLOPE, DynamicAttention, DynamicConv, DynamicGRU
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State


@dataclass(frozen=True)
class FTFNetConfig(SystemConfig):
    """Configuration of a dynamically slimmable FTF-Net; the defaults are the published size.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        channels: Number of channels after each convolution of the encoder.
        order: Order of the blocks: ``F`` along frequency, ``T`` along time.
        groups, heads: Number of groups of GRUs, and of heads of attention, at each level.
        widths: Share of a convolution's output channels that each level keeps.
        window: Number of frames that attention along time sees, this one included.
        level_seconds: Time constant of the running level in seconds.
        router_channels: Number of channels of the router that picks the levels; 0 for no router.
    """

    description: ClassVar[str] = "Causal dynamically slimmable FTF-Net that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {"n_fft": 128, "hop_length": 64, "channels": (4, 8, 8), "window": 5}

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    channels: tuple[int, ...] = (16, 32, 64)
    order: str = "FTF"
    groups: tuple[int, ...] = (2, 4)
    heads: tuple[int, ...] = (2, 4)
    widths: tuple[float, ...] = (0.5, 1.0)
    window: int = 63
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        for name in ("channels", "groups", "heads", "widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        at_least(self, 1, "model", "sample_rate", "hop_length")
        above_zero(self, "model", "level_seconds")
        check_window(self)
        if not self.channels or min(self.channels) < 1:
            raise InputError(f"model.channels is {list(self.channels)}; give a number from 1 for each layer")
        if self.hop_length % 2 ** len(self.channels):
            raise InputError(
                f"model.hop_length is {self.hop_length}; {len(self.channels)} layers halve it as often, so "
                f"use a multiple of {2 ** len(self.channels)}"
            )
        if not self.order or set(self.order) - {"F", "T"}:
            raise InputError(f"model.order is '{self.order}'; use the letters F and T")
        for name in ("groups", "heads"):
            sizes = getattr(self, name)
            if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
                raise InputError(f"model.{name} is {list(sizes)}; give numbers from 1 on, growing")
            if len(sizes) != self.levels:
                raise InputError(
                    f"model.{name} is {list(sizes)}; give a number for each of {self.levels} levels"
                )
            if self.channels[-1] % sizes[-1]:
                raise InputError(
                    f"model.{name} is {list(sizes)}; the last must divide {self.channels[-1]} channels"
                )
        widths = self.widths
        if len(widths) != self.levels or list(widths) != sorted(widths) or widths[0] <= 0 or widths[-1] != 1:
            raise InputError(
                f"model.widths is {list(widths)}; give a share above 0 for each of {self.levels} levels, "
                "none below the one before, the last 1"
            )
        if self.window < 2:
            raise InputError(f"model.window is {self.window}; use 2 frames or more")
        check_router(self)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.groups)

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        features = SpectralFeatures(
            self.n_fft, self.hop_length, level_frames(self, self.hop_length), min(32, self.hop_length)
        )
        backbone = FTFNet(
            features.bins, self.channels, self.order, self.groups, self.heads, self.widths, self.window
        )
        head = MaskHead(self.n_fft, self.hop_length)
        router = router_of(self, features)
        rate, lookahead = self.sample_rate, head.lookahead_samples
        return Enhancer(features, backbone, head, rate, self.hop_length, lookahead, router)


class FTFNet(Backbone):
    """Compute complex masks from compressed spectra.

    Args:
        bins: Number of bins of a spectrum; each convolution halves them.
        channels: Number of channels after each convolution of the encoder; the last is the width of the
            blocks.
        order: Order of the blocks: ``F`` along frequency, ``T`` along time.
        groups, heads: Number of groups of GRUs, and of heads of attention, at each level, growing.
        widths: Share of a convolution's output channels that each level keeps, growing or the same.
        window: Number of frames that attention along time sees.
    """

    frames_apart = False
    """The units that a frame keeps change its states, so frames must run in order."""

    def __init__(
        self,
        bins: int,
        channels: tuple[int, ...],
        order: str,
        groups: tuple[int, ...],
        heads: tuple[int, ...],
        widths: tuple[float, ...],
        window: int,
    ):
        super().__init__()
        self.bins, self.channels, self.order = bins, channels, order
        self.bands = bins >> len(channels)

        def kept(size: int) -> tuple[int, ...]:
            return tuple(ceil(size * share) for share in widths)

        pairs = list(pairwise((2, *channels)))
        # Any: PyTorch does not know the type of a list's modules.
        self.encoder: Any = nn.ModuleList(DynamicConv(a, b, kept(b), False) for a, b in pairs)
        self.grus: Any = nn.ModuleList(DynamicGRU(channels[-1], groups, axis == "F") for axis in order)
        self.attentions: Any = nn.ModuleList(
            DynamicAttention(channels[-1], heads, window if axis == "T" else 0) for axis in order
        )
        # The two parts of the mask are always computed.
        decoder: list[Any] = [
            DynamicConv(b, a, kept(a) if i else (a,) * len(widths), True)
            for i, (a, b) in reversed(list(enumerate(pairs)))
        ]
        with torch.no_grad():  # at first the output is the input
            decoder[-1].weight *= 0.1
            decoder[-1].bias.copy_(torch.tensor([1.0, 0.0]))
        self.decoder: Any = nn.ModuleList(decoder)
        self.levels = len(groups)
        costs = list(accumulate(self.macs()[1]["parts"]))
        # Rounded, because users give these as budgets.
        used = [round(cost / costs[-1], 2) for cost in costs]
        self.sites = (Site("parts", tuple(b - a for a, b in pairwise([0.0, *used])), "prefix"),)

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame, in and out."""
        return 2 * self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds.

        The first unit is the static parts.
        """
        last = self.decoder[-1].macs(1, self.bins // 2)
        totals = [0] + [self._macs(units) - last for units in range(1, self.levels + 1)]
        return last, {"parts": [b - a for a, b in pairwise(totals)]}

    def _macs(self, units: int) -> int:
        depth = len(self.encoder)
        down = sum(layer.macs(units, self.bins >> i + 1) for i, layer in enumerate(self.encoder))
        up = sum(layer.macs(units, self.bins >> depth - i) for i, layer in enumerate(self.decoder))
        branches = (*self.grus, *self.attentions)
        return down + up + sum(branch.macs(units, self.bands) for branch in branches)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        shapes: dict[str, tuple[int, ...]] = {}
        widths = (2, *self.channels)
        for i, channels in enumerate(widths[:-1]):
            shapes[f"encoder.{i}"] = (1, channels, self.bins >> i)
        for i, channels in enumerate(widths[:0:-1]):
            shapes[f"decoder.{i}"] = (1, channels, self.bands << i)
        for i, axis in enumerate(self.order):
            if axis == "T":
                shapes[f"gru.{i}"] = (self.bands, self.channels[-1])
                shapes[f"attention.{i}"] = self.attentions[i].state_shape(self.bands)
        return shapes

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks.

        Args:
            x: Compressed spectra (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            plan: Parts that run in each frame, for the site ``parts``.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            The mask in the layout of x, and the next state.
        """
        spectra = x.unflatten(1, (-1, 2, self.bins))
        mask, state = masked_or_sliced(self._run, self._run, spectra, plan["parts"], state)
        return mask.flatten(1), state

    def _run(self, x: Tensor, keep: int | Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, 2, bin) that all keep `keep` units, or the units of masks."""
        after = dict(state)
        skips = []
        for i, layer in enumerate(self.encoder):
            x, after[f"encoder.{i}"] = layer(x, keep, state[f"encoder.{i}"])
            x = F.leaky_relu(x, SLOPE)
            skips.append(x)
        x = x.transpose(2, 3)
        for i, (gru, attention) in enumerate(zip(self.grus, self.attentions, strict=True)):
            for name, branch in ((f"gru.{i}", gru), (f"attention.{i}", attention)):
                x, made = branch(x, keep, state.get(name))
                if name in state:
                    after[name] = made
        x = x.transpose(2, 3)
        for i, layer in enumerate(self.decoder):
            x, after[f"decoder.{i}"] = layer(x, keep, state[f"decoder.{i}"])
            if i + 1 < len(self.decoder):
                x = F.leaky_relu(x + skips[-2 - i], SLOPE)
        return x, after
