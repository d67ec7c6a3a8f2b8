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
from sese.nn.features.level import ramps
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.heads.waveform import WaveformHead
from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.parts import Backbone, Policy
from sese.nn.plan import REST, UNSAID_GAIN, Keep, Plan, Site, resolve, sorting
from sese.nn.policies.activity import Activity
from sese.nn.state import State, delay, push

BANDS, LEAST_BANDS = 32, 8
"""Largest and least number of bands that the policy hears that lets the network rest."""

FADE_SHARE = 1 / 4
"""Share of a frame over which the step fades that a change between the network and a rest would make."""


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
        activity_units: Number of units of the policy that detects speech and noise and lets the network rest,
            in the place of a router; 0 for none.
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
    activity_units: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        object.__setattr__(self, "factors", tuple(float(factor) for factor in self.factors))
        at_least(self, 1, "model", "sample_rate", "channels", "depth", "groups", "layers")
        at_least(self, 0, "model", "activity_units")
        check_router(self)
        if self.router_channels and self.activity_units:
            raise InputError(
                f"model.router_channels is {self.router_channels} and model.activity_units "
                f"{self.activity_units}; one of them decides, so set the other to 0"
            )
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

        if self.rests and math.gcd(BANDS, self.hop_length // 2) < LEAST_BANDS:
            raise InputError(
                f"model.activity_units is {self.activity_units} and a frame has {self.hop_length} samples; "
                f"rests need half a frame to be a multiple of {LEAST_BANDS}: "
                "use another stride and depth, or set it to 0"
            )

    @property
    def rests(self) -> bool:
        """Whether frames may keep nothing, see `training.random_level.rest`."""
        return self.activity_units > 0

    @property
    def hop_length(self) -> int:
        """Number of samples of a frame."""
        return self.stride**self.depth // self.oversampling

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.factors)

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        sizes = self.channels, self.depth, self.stride, self.factors, self.groups, self.layers
        backbone = Demucs(*sizes, rests=self.rests)
        hop_length, bands = self.hop_length, BANDS if self.rests else 0
        features = WaveformFeatures(hop_length, self.oversampling, level_frames(self, hop_length), bands)
        lookahead = (
            features.lookahead_samples
            + backbone.lookahead_samples // self.oversampling
            + WaveformHead.lookahead_of(self.oversampling)
        )
        head = WaveformHead(hop_length, self.oversampling, lookahead)
        policy: Policy | None = router_of(self, features, steps=1 if hop_length % 2 else 2)
        if self.rests:
            policy = Activity(features.evidence_size, self.activity_units)
        return Enhancer(features, backbone, head, self.sample_rate, hop_length, lookahead, policy)


class Demucs(Backbone):
    """Enhance samples with a slimmable DEMUCS.

    Args:
        channels: Number of channels after the first encoder block (H); they double with each block.
        depth: Number of encoder and of decoder blocks (L).
        stride: Stride of every block (S); kernels are twice as long (K = 2 S).
        factors: Utilization factors (UF), growing, the last one 1; hidden widths are ceil(factor * width).
        groups: Number of GRUs side by side (M).
        layers: Number of GRUs on top of each other.
        rests: Whether frames may rest. All states are held then, and the late signal passes at a lower level.
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
        rests: bool = False,
    ):
        super().__init__()
        self.rest_states = ("passed", "rest") if rests else ()
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
        if self.rest_states:
            shapes |= {"passed": (self.lookahead_samples,), "rest": (3,)}
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
        keep, frames = plan["width"], x.shape[1] // self.frame_samples
        if not self.rest_states:
            return self.awake(x, plan, state)
        masks = keep if isinstance(keep, Tensor) else torch.ones(1, 1, 1, device=x.device)
        awake = masks.expand(-1, frames, -1).amax(2) > 0
        gain = plan.get(REST, UNSAID_GAIN * (~awake).to(x.dtype))
        assert isinstance(gain, Tensor)
        y, after = self._some_awake(x, keep, awake, state)
        y, passed = self.at_rest(y, x, gain, state)
        return y, after | passed

    def _some_awake(
        self, x: Tensor, keep: Keep, awake: Tensor, state: State
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance the frames that are awake, as if they followed each other; the others give zeros.

        Args:
            x, keep, state: As for `_run`.
            awake: Whether a frame runs, (batch or 1, frame).
        """
        if not isinstance(keep, Tensor) or awake.all():
            return self.awake(x, {"width": keep}, state)
        if not torch.equal(awake, awake[:1].expand_as(awake)):
            made = []
            for row in range(len(x)):
                own = {name: value[row : row + 1] for name, value in state.items()}
                made.append(
                    self._some_awake(x[row : row + 1], keep[row : row + 1], awake[row : row + 1], own)
                )
            after = {name: torch.cat([state[name] for _, state in made]) for name in made[0][1]}
            return torch.cat([y for y, _ in made]), after
        frames, where = x.unflatten(1, (-1, self.frame_samples)), awake[0].nonzero().squeeze(1)
        if len(where) == 0:
            return torch.zeros_like(x), {name: state[name] for name in state if name not in self.rest_states}
        keep = keep.expand(-1, frames.shape[1], -1)[:, where]
        y, after = self.awake(frames[:, where].flatten(1), {"width": keep}, state)
        y = y.unflatten(1, (-1, self.frame_samples))
        return torch.zeros_like(frames, dtype=y.dtype).index_copy(1, where, y).flatten(1), after

    def at_rest(
        self, hidden: Tensor, signal: Tensor, gain: Tensor, state: State
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Replace the network's output by the late signal at a lower level in frames at rest.

        The first frame after a rest passes too: the output is late, and the network has not yet heard what
        belongs to it. Where the output changes between the two, its step fades over part of the frame.

        Args:
            hidden: Samples (batch, time) of the network, late by `lookahead_samples`.
            signal: Samples (batch, time) that went into it.
            gain: Gains (batch or 1, frame), 0 where the network runs.
            state: ``passed``, the latest samples that went in, and ``rest``: of the frame before, the gain
                of its output, 0 if that was the network's, its gain at rest, and its last sample.

        Returns:
            Samples (batch, time), and the next state.
        """
        size = self.frame_samples
        late, passed = delay(state["passed"], signal)
        frames, own = (x.unflatten(1, (-1, size)) for x in (late, hidden))
        shown, rested, last = state["rest"].split(1, dim=1)
        gain = gain.expand(frames.shape[0], -1)
        after_rest = torch.where(gain > 0, 0.0, torch.cat([rested, gain], dim=1)[:, :-1])
        weight = gain + after_rest
        before = torch.cat([shown, weight], dim=1)[:, :-1]
        passes = weight > 0
        passing = frames * ramps(torch.where(before > 0, before, weight), weight, size)
        y = torch.where(passes.unsqueeze(2), passing, own.to(passing.dtype))
        ends = torch.cat([last, y[:, :, -1]], dim=1)
        step = torch.where(passes != (before > 0), ends[:, :-1] - y[:, :, 0], 0.0)
        y = y + step.unsqueeze(2) * fade(size).to(y)
        after = torch.cat([weight[:, -1:], gain[:, -1:], ends[:, -1:]], dim=1)
        return y.flatten(1), {"passed": passed, "rest": after}

    def awake(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Enhance samples as `forward` does, in frames of which none rests."""
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


def fade(size: int) -> Tensor:
    """Return what is left of a step at each of `size` samples, (time,): 1 at first, 0 at the end."""
    return (1 - torch.arange(size) / (size * FADE_SHARE)).clamp_min(0)
