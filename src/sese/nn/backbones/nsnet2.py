"""nsNet2 (arXiv 2008.06412) and Dynamic nsNet2 (arXiv 2308.16678): log powers in, gains out, early exits.

FC1, GRU1, GRU2, FC2 and FC3 follow each other, and FC4 computes gains from the last. Dynamic nsNet2 puts a
layer like FC4 after others too, an *exit* each. A frame runs the layers up to its exit, and that exit. The
states of the recurrent layers that it skips stay as they were.

At an exit the flow of information may be split by a copy of the layer there, an ancillary feature extractor,
so that gains and the next layer can use different features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.checks import at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_router, check_window, level_frames, router_of
from sese.nn.enhancer import Enhancer
from sese.nn.features.log_power import LogPowerFeatures
from sese.nn.heads.gain import GainHead
from sese.nn.layers.held import HeldGRU
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State

LAYERS = ("fc1", "gru1", "gru2", "fc2", "fc3")
"""Layers in the order in which they run."""

Split = Literal["none", "separate", "joined"]


@dataclass(frozen=True)
class NsNet2Config(SystemConfig):
    """Configuration of nsNet2 with early exits, with the published widths; `exits: [fc3]` is nsNet2 itself.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        hidden, wide, exits, split, copy_share: See `NsNet2`.
        level_seconds: Time constant of the running level in seconds; 0 for log powers as they are, as
            published.
        router_channels: Number of channels of the router that picks the exits; 0 for no router.
    """

    description: ClassVar[str] = "Causal recurrent network with early exits that removes noise from speech."
    small: ClassVar[dict[str, Any]] = {"hidden": 24, "wide": 36}

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    hidden: int = 400
    wide: int = 600
    exits: tuple[str, ...] = ("fc1", "gru1", "gru2", "fc3")
    split: Split = "none"
    copy_share: float = 0.5
    level_seconds: float = 2.0
    router_channels: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value out of its range, or values that do not fit together.
        """
        exits = (self.exits,) if isinstance(self.exits, str) else tuple(self.exits)
        object.__setattr__(self, "exits", exits)
        at_least(self, 1, "model", "sample_rate", "hop_length", "hidden", "wide")
        check_router(self)
        check_window(self, 64)
        if exits != tuple(name for name in LAYERS if name in exits) or exits[-1:] != LAYERS[-1:]:
            raise InputError(f"model.exits is {list(exits)}; name some of {list(LAYERS)} in order, fc3 last")
        if self.split not in ("none", "separate", "joined"):
            raise InputError(f"model.split is {self.split!r}; choose from none, separate, joined")
        if not 0 < self.copy_share <= 1:
            raise InputError(f"model.copy_share is {self.copy_share}; use a share above 0, up to 1")
        at_least(self, 0, "model", "level_seconds")
        costs = self._backbone().macs()[1]["depth"]
        if min(costs) <= 0:
            raise InputError(
                f"model.copy_share is {self.copy_share}; exit '{exits[costs.index(min(costs)) - 1]}' with "
                "its copy costs no less than the next; use narrower copies, or leave that exit out"
            )

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.exits)

    def build(self) -> Enhancer:
        """Build the network with fresh weights."""
        rate, hop = self.sample_rate, self.hop_length
        frames = level_frames(self, hop) if self.level_seconds else 0
        features, head = LogPowerFeatures(self.n_fft, hop, frames), GainHead(self.n_fft, hop)
        router = router_of(self, features)
        return Enhancer(features, self._backbone(), head, rate, hop, head.lookahead_samples, router)

    def _backbone(self) -> NsNet2:
        bins = self.n_fft // 2 + 1
        return NsNet2(bins, self.hidden, self.wide, self.exits, self.split, self.copy_share)


class NsNet2(Backbone):
    """Compute gains from log powers.

    Args:
        bins: Number of bins of a spectrum.
        hidden: Width of FC1 and of the GRUs.
        wide: Width of FC2 and FC3.
        exits: Layers with an exit, in order; the last is ``fc3``, whose exit is FC4.
        split: Copy of the layer at every exit but the last: ``separate``, the exit uses the copy and the
            layer feeds only the next; ``joined``, the exit uses both; ``none``, there is no copy.
        copy_share: Width of a copy as a share of the layer's.
    """

    frames_apart = False
    """The units that a frame keeps change its states, so frames must run in order."""

    def __init__(
        self,
        bins: int = 257,
        hidden: int = 400,
        wide: int = 600,
        exits: Sequence[str] = ("fc1", "gru1", "gru2", "fc3"),
        split: Split = "none",
        copy_share: float = 0.5,
    ):
        super().__init__()
        self.bins, self.split, self.exits = bins, split, tuple(exits)
        inputs = dict(zip(LAYERS, (bins, hidden, hidden, hidden, wide), strict=True))
        widths = dict(zip(LAYERS, (hidden, hidden, hidden, wide, wide), strict=True))
        # Any: PyTorch does not know the type of a dictionary's modules.
        self.layers: Any = nn.ModuleDict({name: _layer(name, inputs[name], widths[name]) for name in LAYERS})
        self.copies: Any = nn.ModuleDict()
        self.gains: Any = nn.ModuleDict()
        for name in self.exits:
            seen = widths[name]
            if split != "none" and name != self.exits[-1]:
                copied = max(1, round(copy_share * widths[name]))
                self.copies[name] = _layer(name, inputs[name], copied)
                seen = copied + (seen if split == "joined" else 0)
            self.gains[name] = nn.Linear(seen, bins)
        costs = [sum(map(_macs, self._at(number).values())) for number in range(len(self.exits))]
        self._costs = costs
        # Rounded, because users give these as budgets.
        used = [round(cost / costs[-1], 2) or cost / costs[-1] for cost in costs]
        self.sites = (Site("depth", tuple(b - a for a, b in pairwise([0.0, *used])), "prefix"),)

    @property
    def frame_samples(self) -> int:
        """Number of values of a frame, in and out."""
        return self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds."""
        return 0, {"depth": [b - a for a, b in pairwise([0, *self._costs])]}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the weights that a frame with `units` units does not use, each with the length 0."""
        used = {
            f"{name}.{weight}"
            for name, m in self._at(units - 1).items()
            for weight, _ in m.named_parameters()
        }
        return {name: (0,) for name, _ in self.named_parameters() if name not in used}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state without the batch axis."""
        return {name: (1, layer.size) for name, layer in self.named_modules() if isinstance(layer, HeldGRU)}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute gains.

        Args:
            x: Log powers (batch, frame * bin).
            plan: Number of exits that each frame reaches, for the site ``depth``; it leaves by the last of
                them.
            state: Tensors with the shapes of `state_shapes`.

        Returns:
            Gains in [0, 1] in the layout of x, and the next state.
        """
        frames = x.unflatten(1, (-1, self.bins))
        gains, after = masked_or_sliced(self._masked, self._sliced, frames, plan["depth"], state)
        return gains.flatten(1), after

    def every_level(self, x: Tensor, state: State) -> list[Tensor]:
        """Compute gains, in the layout of x, at every exit in one pass from a state, the lowest first."""
        after, made = dict(state), []
        x = x.unflatten(1, (-1, self.bins))
        for name in LAYERS:
            seen = [_run(f"copies.{name}", self.copies[name], x, after)] if name in self.copies else []
            x = _run(f"layers.{name}", self.layers[name], x, after)
            if name in self.exits:
                seen = seen if seen and self.split == "separate" else [x, *seen]
                made.append(torch.sigmoid(self.gains[name](torch.cat(seen, dim=-1))).flatten(1))
        return made

    def _sliced(self, x: Tensor, keep: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run frames (batch, frame, bin) that all leave by one exit."""
        after, name = dict(state), self.exits[keep - 1]
        copied: list[Tensor] = []
        for path, module in self._at(keep - 1).items():
            if path.startswith("gains."):
                x = torch.sigmoid(module(torch.cat([x, *copied], dim=-1) if copied else x))
            elif path == f"copies.{name}":
                made = _run(path, module, x, after)
                if self.split == "separate":
                    x = made
                else:
                    copied = [made]
            else:
                x = _run(path, module, x, after)
        return x, after

    def _masked(self, x: Tensor, keep: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Run every layer under masks (batch, frame, unit)."""
        after, made = dict(state), []
        reached = list(keep.split(1, dim=2))
        deeper = [*reached[1:], torch.zeros_like(reached[0])]
        number = 0
        for name in LAYERS:
            here = name == self.exits[number]
            leaving = reached[number] - deeper[number]
            seen = []
            if here and name in self.copies:
                seen = [_run(f"copies.{name}", self.copies[name], x, after, leaving)]
            own = deeper[number] if seen and self.split == "separate" else reached[number]
            x = _run(f"layers.{name}", self.layers[name], x, after, own)
            if here:
                seen = seen if seen and self.split == "separate" else [x, *seen]
                made.append(leaving * torch.sigmoid(self.gains[name](torch.cat(seen, dim=-1))))
                number += 1
        return torch.stack(made).sum(0), after

    def _at(self, number: int) -> Mapping[str, nn.Module]:
        """Return the modules by name that a frame runs which leaves by an exit, in order."""
        name = self.exits[number]
        last = LAYERS.index(name)
        before = {f"layers.{layer}": self.layers[layer] for layer in LAYERS[:last]}
        copied = {f"copies.{name}": self.copies[name]} if name in self.copies else {}
        own = {} if copied and self.split == "separate" else {f"layers.{name}": self.layers[name]}
        return before | copied | own | {f"gains.{name}": self.gains[name]}


def _layer(name: str, inputs: int, size: int) -> nn.Module:
    return HeldGRU(inputs, size) if name.startswith("gru") else nn.Linear(inputs, size)


def _macs(module: Any) -> int:
    return module.macs() if isinstance(module, HeldGRU) else module.weight.numel()


def _run(path: str, module: Any, x: Tensor, state: dict[str, Tensor], kept: Tensor | None = None) -> Tensor:
    """Run a layer or a copy; a recurrent one puts its next state where it found its own."""
    if isinstance(module, HeldGRU):
        x, state[path] = module(x, state[path]) if kept is None else module.masked(x, kept, state[path])
        return x
    return module(x) if path.endswith("fc1") else F.relu(module(x))  # FC1 is linear
