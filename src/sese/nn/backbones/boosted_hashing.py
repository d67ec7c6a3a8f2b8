"""Boosted locality-sensitive hashing (arXiv 2002.06239): masks from the most similar frames.

A frame's spectrum is hashed to bits, signs of learned projections. The frames of a dictionary whose bits
differ in the fewest places are its neighbours, and the mean of their ideal binary masks is its mask. Bits
are learned one after the other, so the first of them are a hash themselves. A level is the number of bits.
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
"""Number of frames that are compared with the dictionary at once."""


EXACT = 2**24
"""Largest whole number up to which float32 has every one."""


@dataclass(frozen=True)
class BoostedHashingConfig(SystemConfig):
    """Configuration of a hash and its dictionary.

    Attributes:
        sample_rate: Sample rate in Hz.
        n_fft, hop_length: Window and hop of the spectra in samples; the window is two hops long.
        compression: Exponent of the magnitudes before they are hashed, in (0, 1].
        bits: Number of bits of each level, the lowest first.
        frames: Number of frames of the dictionary.
        neighbours: Number of frames whose masks are averaged.
        level_seconds: Time constant of the running level in seconds; each frame is scaled to norm 1 as well.
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
            InputError: a value out of its range, or values that do not fit together.
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

    @property
    def kind(self) -> str:
        """Kind of network that only some training methods can train."""
        return "hashes"

    def build(self) -> Enhancer:
        """Build the system with random bits and a random dictionary."""
        rate, hop = self.sample_rate, self.hop_length
        features = MagnitudeFeatures(self.n_fft, hop, level_frames(self, hop), self.compression)
        backbone = BoostedHashing(features.bins, self.bits, self.frames, self.neighbours)
        head = RealMaskHead(self.n_fft, hop)
        return Enhancer(features, backbone, head, rate, hop, head.lookahead_samples)


class BoostedHashing(Backbone):
    """Compute masks from magnitudes by a search.

    Args:
        bins: Number of bins of a spectrum.
        bits: Number of bits of each level, the lowest first.
        frames: Number of frames of the dictionary.
        neighbours: Number of frames whose masks are averaged.

    Attributes:
        projections: Projections (bit, bin + 1), the last entry for a one after the magnitudes.
        strengths: Strengths (bit,) of the learners in boosting; 0 where there is none yet.
        codes: Bits of the dictionary, uint8 (frame, byte).
        masks: Ideal binary masks of the dictionary, uint8 (frame, byte).
    """

    frames_apart = False
    """Each level is a search of its own."""

    quantised = True
    """Inputs are rounded, so runtimes agree except for values at a threshold."""

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
        """Number of values of a frame, in and out."""
        return self.bins

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and those that each unit adds.

        The multiplications of the search are products of bits.
        """
        each = self.bins + 1 + self.frames
        return 0, {"bits": [(b - a) * each for a, b in pairwise((0, *self.bits))]}

    def prefixes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Return the weights of which `units` units use a part, and the number of rows used."""
        return {"projections": (self.bits[units - 1],)}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state: it has none."""
        return {}

    def forward(self, x: Tensor, plan: Plan, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute masks.

        Args:
            x: Magnitudes (batch, frame * bin).
            plan: Units of bits that each frame uses, for the site ``bits``.
            state: Empty.

        Returns:
            Masks in [0, 1] in the layout of x, and the next state, which is empty.
        """
        frames = x.unflatten(1, (-1, self.bins))
        masks, after = masked_or_sliced(self._masked, self._sliced, frames, plan["bits"], state)
        return masks.flatten(1), after

    def hash(self, x: Tensor, count: int) -> Tensor:
        """Return the first `count` bits, -1 or +1, of magnitudes (..., bin)."""
        made = F.linear(with_one(x), self.projections[:count])
        return torch.where(made < 0, -1.0, 1.0)

    def _sliced(self, x: Tensor, keep: int, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Search for frames (batch, frame, bin) by the bits of `units` units."""
        count = self.bits[keep - 1]
        dictionary = 2 * unpack(self.codes, count) - 1
        if isinstance(x.shape[1], int) and x.shape[1] > BLOCK:
            parts = [self._search(part, dictionary) for part in x.split(BLOCK, dim=1)]
            return torch.cat(parts, dim=1), {}
        return self._search(x, dictionary), {}

    def _search(self, x: Tensor, dictionary: Tensor) -> Tensor:
        """Return the mean masks (batch, frame, bin) of the nearest frames."""
        agreement = F.linear(self.hash(x, dictionary.shape[1]), dictionary)  # even or odd numbers alone
        # Among equally near frames the first ones count. Whole numbers are exact in float32.
        order = torch.arange(self.frames, dtype=x.dtype, device=x.device)
        nearest = (agreement * (self.frames / 2) - order).topk(self.neighbours, dim=2).indices
        return unpack(self.masks[nearest], self.bins).mean(2)

    def _masked(self, x: Tensor, keep: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Search at every level under masks (batch, frame, unit)."""
        leaving = keep - F.pad(keep[..., 1:], (0, 1))
        made = [self._sliced(x, unit + 1, state)[0] for unit in range(len(self.bits))]
        return torch.stack([m * leaving[..., [u]] for u, m in enumerate(made)]).sum(0), {}


def with_one(x: Tensor) -> Tensor:
    """Return magnitudes (..., bin) with norm 1, and a one after them: (..., bin + 1)."""
    x = x / x.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-8)
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


def fresh_projections(count: int, bins: int, generator: torch.Generator | None = None) -> Tensor:
    """Return random projections (count, bin + 1), as in locality-sensitive hashing without learning."""
    return torch.randn(count, bins + 1, generator=generator) * (2 / (bins + 2)) ** 0.5


def _random_bytes(rows: int, bits: int) -> Tensor:
    return torch.randint(256, (rows, -(-bits // 8)), dtype=torch.uint8)
