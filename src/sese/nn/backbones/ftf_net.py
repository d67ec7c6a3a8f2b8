"""FTF-Net with dynamic parts: a causal U-Net on spectra with recurrence and attention along both axes.

Zhao and Madhu's FTF-Net (arXiv 2505.21057) as far as its facts are known, made a dynamically slimmable
network (arXiv 2510.11395). Strided convolutions along frequency turn a spectrum into bands of channels;
blocks of a grouped GRU and of attention run along frequency, time and frequency again; transposed
convolutions with added skips make a complex mask. A level keeps the first groups, heads and output channels
of all of them. What is known and what is ours: docs/systems/ftf_net.md.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.nn.layers.dynamic import SLOPE, DynamicAttention, DynamicConv, DynamicGRU
from sese.nn.plan import Plan, Site
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State


class FTFNet(nn.Module):
    """From compressed spectra to complex masks.

    Args:
        bins: of a spectrum; each convolution halves them.
        channels: behind each convolution of the encoder; the last is the width of the blocks.
        order: of the blocks: ``F`` along frequency, ``T`` along time.
        groups, heads: that each level keeps of GRUs and of attention, growing.
        widths: share of a convolution's output channels that each level keeps, growing or the same.
        window: frames that attention along time sees.
    """

    frames_apart = False
    """What a frame keeps decides what the states become, so frames must run in order."""

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
        # Any: PyTorch's type of what is in a list says nothing.
        self.encoder: Any = nn.ModuleList(DynamicConv(a, b, kept(b), False) for a, b in pairs)
        self.grus: Any = nn.ModuleList(DynamicGRU(channels[-1], groups, axis == "F") for axis in order)
        self.attentions: Any = nn.ModuleList(
            DynamicAttention(channels[-1], heads, window if axis == "T" else 0) for axis in order
        )
        # The mask's two parts are always made.
        decoder: list[Any] = [
            DynamicConv(b, a, kept(a) if i else (a,) * len(widths), True)
            for i, (a, b) in reversed(list(enumerate(pairs)))
        ]
        with torch.no_grad():  # what goes in comes out, at first
            decoder[-1].weight *= 0.1
            decoder[-1].bias.copy_(torch.tensor([1.0, 0.0]))
        self.decoder: Any = nn.ModuleList(decoder)
        self.levels = len(groups)
        costs = list(accumulate(self.macs()[1]["parts"]))
        # Users give these as budgets, so they are round numbers.
        used = [round(cost / costs[-1], 2) for cost in costs]
        self.sites = (Site("parts", tuple(b - a for a, b in pairwise([0.0, *used])), "prefix"),)

    @property
    def frame_samples(self) -> int:
        """Values a frame, in and out."""
        return 2 * self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Multiply-accumulates of a frame: those under any plan, and those that each unit adds.

        The static parts are the first unit's.
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
        """Shapes of the state behind the batch axis."""
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
        """Make masks.

        Args:
            x: (batch, frame * 2 * bin) compressed spectra, a frame's real parts before its imaginary ones.
            plan: for the site ``parts``, what runs in each frame.
            state: tensors as in `state_shapes`.

        Returns:
            The mask, as x is laid out, and the next state.
        """
        spectra = x.unflatten(1, (-1, 2, self.bins))
        mask, state = masked_or_sliced(self._run, self._run, spectra, plan["parts"], state)
        return mask.flatten(1), state

    def _run(self, x: Tensor, keep: int | Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, 2, bin) that all keep so many units, or that keep what masks say."""
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
