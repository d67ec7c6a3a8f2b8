"""Boosted locality-sensitive hashing (arXiv 2002.06239): masks of the frames that sound most alike.

A frame's spectrum is hashed to bits, signs of learned projections. The frames of a dictionary whose bits
differ in the fewest places are its neighbours, and the mean of their ideal binary masks is its mask. Bits
are learned one after the other, so the first of them are a hash themselves: a level uses so many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.checks import above_zero, at_least
from sese.core.errors import InputError
from sese.nn.backbones.common import SystemConfig, check_window, level_frames
from sese.nn.enhancer import Enhancer
from sese.nn.features.magnitude import MagnitudeFeatures
from sese.nn.heads.real_mask import RealMaskHead
from sese.nn.layers.packed_bits import unpack
from sese.nn.parts import Backbone
from sese.nn.plan import Plan, Site
from sese.nn.runs import masked_or_sliced
from sese.nn.state import State

BLOCK = 256
"""Frames that are compared with the dictionary at once."""


EXACT = 2**24
"""Float32 has every whole number up to this one."""


@dataclass(frozen=True)
class BoostedHashingConfig(SystemConfig):
    """A hash and the dictionary that it is for.

    Attributes:
        sample_rate: in Hz.
        n_fft, hop_length: of the spectra, in samples; the window is two hops long.
        compression: power that magnitudes are raised to before they are hashed, above 0 and at most 1.
        bits: that each level uses, cheapest first.
        frames: of the dictionary.
        neighbours: whose masks are averaged.
        level_seconds: time constant of the running level; a frame is brought to a norm of 1 besides.
    """

    description: ClassVar[str] = "Nearest neighbours by learned hashes, which remove noise from speech."
    small: ClassVar[dict[str, Any]] = {
        "n_fft": 64,
        "hop_length": 32,
        "bits": (8, 20, 50),
        "frames": 200,
        "neighbours": 5,
    }

    sample_rate: int = 16000
    n_fft: int = 512
    hop_length: int = 256
    compression: float = 1.0
    bits: tuple[int, ...] = (25, 50, 100, 200)
    frames: int = 20_000
    neighbours: int = 10
    level_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: values that no such system can have.
        """
        object.__setattr__(self, "bits", tuple(self.bits))
        at_least(self, 1, "model", "sample_rate", "hop_length", "neighbours")
        above_zero(self, "model", "level_seconds")
        if not self.bits or any(b <= a for a, b in pairwise((0, *self.bits))):
            raise InputError(f"model.bits is {list(self.bits)}; give numbers above 0 that rise")
        check_window(self, 64)
        if not 0 < self.compression <= 1:
            raise InputError(f"model.compression is {self.compression}; use above 0 and at most 1")
        most = EXACT // self.bits[-1]
        if not self.neighbours <= self.frames <= most:
            raise InputError(f"model.frames is {self.frames}; use {self.neighbours} to {most}")

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.bits)

    def build(self) -> Enhancer:
        """The system with random bits and a random dictionary."""
        rate, hop = self.sample_rate, self.hop_length
        features = MagnitudeFeatures(self.n_fft, hop, level_frames(self, hop), self.compression)
        backbone = BoostedHashing(features.bins, self.bits, self.frames, self.neighbours)
        head = RealMaskHead(self.n_fft, hop)
        return Enhancer(features, backbone, head, rate, hop, head.lookahead_samples)


class BoostedHashing(Backbone):
    """From magnitudes to masks, by a search.

    Args:
        bins: of a spectrum.
        bits: that each level uses, cheapest first.
        frames: of the dictionary.
        neighbours: whose masks are averaged.

    Attributes:
        projections: (bit, bin + 1), the last for a one behind the magnitudes.
        strengths: (bit,) of the learners in boosting; 0 where there is none yet.
        codes: (frame, byte) uint8, the dictionary's bits.
        masks: (frame, byte) uint8, its ideal binary masks.
    """

    frames_apart = False
    """A level is a search of its own."""

    quantised = True
    """What is heard is rounded, so runtimes agree but for what lies at a threshold."""

    strengths: Tensor
    codes: Tensor
    masks: Tensor

    def __init__(self, bins: int, bits: Sequence[int], frames: int, neighbours: int):
        super().__init__()
        self.bins, self.bits, self.frames, self.neighbours = bins, tuple(bits), frames, neighbours
        count = self.bits[-1]
        self.projections = nn.Parameter(fresh_projections(count, bins))
        self.register_buffer("strengths", torch.zeros(count))
        self.register_buffer("codes", _random_bytes(frames, count))
        self.register_buffer("masks", _random_bytes(frames, bins))
        self.sites = (Site("bits", tuple((b - a) / count for a, b in pairwise((0, *self.bits))), "prefix"),)

    @property
    def frame_samples(self) -> int:
        """Values a frame, in and out."""
        return self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Multiply-accumulates of a frame: those under any plan, and those that each unit adds.

        Those of the search are products of bits.
        """
        each = self.bins + 1 + self.frames
        return 0, {"bits": [(b - a) * each for a, b in pairwise((0, *self.bits))]}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Weights of which so many units use a part, and how many rows."""
        return {"projections": (self.bits[units - 1],)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis: none."""
        return {}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Make masks.

        Args:
            x: (batch, frame * bin) magnitudes.
            plan: for the site ``bits``, how many units of them a frame uses.
            state: empty.

        Returns:
            Masks in [0, 1], as x is laid out, and the next state, empty.
        """
        frames = x.unflatten(1, (-1, self.bins))
        masks, after = masked_or_sliced(self._masked, self._sliced, frames, plan["bits"], state)
        return masks.flatten(1), after

    def hash(self, x: Tensor, count: int) -> Tensor:
        """The first `count` bits, -1 or +1, of magnitudes (..., bin)."""
        made = F.linear(with_one(x), self.projections[:count])
        return torch.where(made < 0, -1.0, 1.0)

    def _sliced(self, x: Tensor, keep: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Search for frames (batch, frame, bin) by as many bits as so many units have."""
        count = self.bits[keep - 1]
        dictionary = 2 * unpack(self.codes, count) - 1
        if isinstance(x.shape[1], int) and x.shape[1] > BLOCK:
            parts = [self._search(part, dictionary) for part in x.split(BLOCK, dim=1)]
            return torch.cat(parts, dim=1), {}
        return self._search(x, dictionary), {}

    def _search(self, x: Tensor, dictionary: Tensor) -> Tensor:
        """Mean masks (batch, frame, bin) of the nearest frames."""
        agreement = F.linear(self.hash(x, dictionary.shape[1]), dictionary)  # even or odd numbers alone
        # Of frames as near as each other the first ones count; whole numbers, which float32 has exactly.
        order = torch.arange(self.frames, dtype=x.dtype, device=x.device)
        nearest = (agreement * (self.frames / 2) - order).topk(self.neighbours, dim=2).indices
        return unpack(self.masks[nearest], self.bins).mean(2)

    def _masked(self, x: Tensor, keep: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Search at every level under masks (batch, frame, unit)."""
        leaving = keep - F.pad(keep[..., 1:], (0, 1))
        made = [self._sliced(x, unit + 1, state)[0] for unit in range(len(self.bits))]
        return torch.stack([m * leaving[..., [u]] for u, m in enumerate(made)]).sum(0), {}


def with_one(x: Tensor) -> Tensor:
    """Magnitudes (..., bin) at a norm of 1, and a one behind them: (..., bin + 1)."""
    x = x / x.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-8)
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


def fresh_projections(count: int, bins: int, generator: torch.Generator | None = None) -> Tensor:
    """Random ones, (count, bin + 1): locality-sensitive hashing as it is without learning."""
    return torch.randn(count, bins + 1, generator=generator) * (2 / (bins + 2)) ** 0.5


def _random_bytes(rows: int, bits: int) -> Tensor:
    return torch.randint(256, (rows, -(-bits // 8)), dtype=torch.uint8)
