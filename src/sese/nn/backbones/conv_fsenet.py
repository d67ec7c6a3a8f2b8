"""Conv-FSENet (arXiv 2412.17121): a temporal convolutional network from magnitudes to a real mask.

A pointwise layer, stacks of residual blocks whose dilation doubles from block to block, a pointwise layer and
a sigmoid. The stream between blocks keeps its width; inside each block any of its units, groups of hidden
channels, can be left out in any frame.

Where blocks look ahead, each holds its input back until it has seen what follows, so that the same code
streams; the mask then belongs to a frame that came `ahead` frames before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sese.nn.layers.temporal_block import TemporalBlock
from sese.nn.plan import Keep, Plan, Site
from sese.nn.policies.channel_gates import ChannelGates
from sese.nn.state import State, delay


class ConvFSENet(nn.Module):
    """From magnitudes to masks.

    Args:
        bins: values a frame, in and out.
        channels: of the stream (B).
        hidden: channels inside a block (H).
        stacks, blocks: stacks, and blocks in each (R and X).
        kernel: of the depthwise convolutions, in frames.
        units: equal groups of hidden channels in a block; as many as channels gives each its own gate.
        causal: whether blocks look back alone; else both ways as far, and a plan says what runs when, in
            each block for the frame that it makes then.
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
        # Any: PyTorch's type of what is in a list says nothing.
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
        """Values a frame, in and out."""
        return self.bins

    @property
    def ahead(self) -> int:
        """Frames after its own that a mask depends on, and by which it is late."""
        return sum(block.ahead for block in self.blocks)

    @property
    def past(self) -> int:
        """Frames before its own that a mask depends on."""
        return sum(block.past for block in self.blocks) - self.ahead

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        costs = [block.macs() for block in self.blocks]
        static = self.encoder.weight.numel() + self.decoder.weight.numel() + sum(cost for cost, _ in costs)
        return static, {site.name: units for site, (_, units) in zip(self.sites, costs, strict=True)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        shapes = {f"past.{i}": (block.past, block.hidden) for i, block in enumerate(self.blocks)}
        held = {f"held.{i}": (block.ahead, block.channels) for i, block in enumerate(self.blocks)}
        return shapes | {name: shape for name, shape in held.items() if shape[0]}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Make masks.

        Args:
            x: (batch, frame * bin) magnitudes.
            plan: what runs in each block.
            state: tensors as in `state_shapes`.

        Returns:
            The mask, as x is laid out, in (0, 1), late by `ahead` frames, and the next state.
        """
        mask, _, state = self._run(x, plan, state)
        return mask, state

    def gated(
        self, x: Tensor, gates: ChannelGates, state: State
    ) -> tuple[Tensor, dict[str, Keep], dict[str, Tensor]]:
        """As `forward`, with gates that make the plan as it goes; it is returned between the two."""
        return self._run(x, gates, state)

    def _run(
        self, x: Tensor, plan: Plan | ChannelGates, state: State
    ) -> tuple[Tensor, dict[str, Keep], dict[str, Tensor]]:
        stream = torch.relu(self.encoder(x.unflatten(1, (-1, self.bins))))
        after: dict[str, Tensor] = {}
        ran: dict[str, Keep] = {}
        for i, (block, site) in enumerate(zip(self.blocks, self.sites, strict=True)):
            held = stream
            if block.ahead:
                held, after[f"held.{i}"] = delay(state[f"held.{i}"], stream)
            keep = plan(i, held) if isinstance(plan, ChannelGates) else plan[site.name]
            made, after[f"past.{i}"] = block(stream, keep, state[f"past.{i}"])
            stream, ran[site.name] = held + made, keep
        return torch.sigmoid(self.decoder(stream)).flatten(1), ran, after
