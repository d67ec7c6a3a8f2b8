"""Hashing with a dictionary in packed bits: its file, and enhancement by it. Needs NumPy 2 alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.bits.bitwise import FILE
from sese.bits.frames import FrameEnhancer, hann
from sese.bits.hamming import HammingIndex, Search
from sese.core.errors import InputError, brief
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, array_of, check_counts, from_json, read_arrays

FORMAT = 1
MAGNITUDE_FLOOR = 1e-5  # as of sese.nn.features.magnitude
SLACK = 1e-6  # 1/3 as a decimal selects the level 1/3


@dataclass(frozen=True)
class Facts:
    """Facts about a system; see its configuration, `BoostedHashingConfig`."""

    sample_rate: int
    hop_length: int
    compression: float
    bits: tuple[int, ...]
    neighbours: int


@dataclass(frozen=True)
class Dictionary:
    """Hash and dictionary.

    Attributes:
        projections: (bit, bin + 1).
        codes, masks: (frame, byte) uint8, the first bit lowest.
    """

    facts: Facts
    projections: NDArray[np.float32]
    codes: NDArray[np.uint8]
    masks: NDArray[np.uint8]


def save(dictionary: Dictionary, path: Path) -> None:
    """Write a dictionary; the file appears whole or not at all."""
    facts = {"format": FORMAT, "kind": "hashing"} | asdict(dictionary.facts)
    arrays = {name: getattr(dictionary, name) for name in ("projections", "codes", "masks")}
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)


def load(path: str | os.PathLike[str]) -> Dictionary:
    """Read a dictionary from its file, or from the model folder that it lies in.

    Raises:
        InputError: there is no such file, or it is none of a dictionary.
    """
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    try:
        held = read_arrays(file)
        facts = from_json(str(held["facts"]))
        if (facts.pop("format"), facts.pop("kind")) != (FORMAT, "hashing"):
            raise InputError(f"{file} is of another version; export its run again")
        facts["bits"] = tuple(facts["bits"])
        known = Facts(**facts)
        check_counts(facts, sample_rate=384_000, hop_length=1 << 15)
        check_counts({"bits": known.bits[-1]}, bits=1 << 16)
        if list(known.bits) != sorted(set(known.bits)) or not known.bits[0] >= 1:
            raise ValueError(f"bits are {brief(list(known.bits))}, which do not rise from 1")
        if not 0 < known.compression <= 10:
            raise ValueError(f"compression is {known.compression}, not a number above 0, up to 10")
        bins = known.hop_length + 1
        codes = array_of(held, "codes", np.uint8, (None, -(-known.bits[-1] // 8)))
        check_counts(facts, neighbours=len(codes))
        return Dictionary(
            known,
            array_of(held, "projections", np.float32, (known.bits[-1], bins + 1)),
            codes,
            array_of(held, "masks", np.uint8, (len(codes), -(-bins // 8))),
        )
    except FileNotFoundError:
        raise InputError(f"{file} does not exist; `sese export` writes it for hashing") from None
    except (OSError, *MALFORMED) as error:
        raise InputError(f"{file} holds no dictionary ({error}); export its run again") from None


class HashEnhancer(FrameEnhancer):
    """Removes noise from mono speech by the masks of the nearest frames of a dictionary.

    Args:
        model: file or folder, see `load`.
        budget: share of the bits that are used: the highest level within it always runs.
        search: search of `HammingIndex`.

    Raises:
        InputError: as `load` and `HammingIndex`, or a budget that is no number from the lowest level to 1.
    """

    def __init__(self, model: str | os.PathLike[str], budget: float | str = 1.0, search: Search = "numpy"):
        held = load(model)
        try:
            share = float(str(budget).removeprefix("fixed:"))
        except ValueError:
            share = 0.0
        self.facts, bits = held.facts, held.facts.bits
        within = [count for count in bits if count <= (share + SLACK) * bits[-1]]
        if not within or share > 1:
            raise InputError(
                f"budget is {budget!r}; give a share of the bits from {bits[0] / bits[-1]:g}, the lowest "
                "level, to 1"
            )
        self.count = within[-1]
        self._projections = held.projections[: self.count]
        self._index = HammingIndex(held.codes, self.count, search)
        bins = self.facts.hop_length + 1
        self._masks = np.unpackbits(held.masks, axis=1, count=bins, bitorder="little")
        window = hann(2 * self.facts.hop_length)
        synthesis = window / (window**2 + np.roll(window, self.facts.hop_length) ** 2)
        super().__init__(self.facts.sample_rate, window, synthesis)

    def mask(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Return the mask (bin,) of a frame's spectrum: the mean of its neighbours'."""
        heard = np.maximum(np.abs(spectrum), MAGNITUDE_FLOOR) ** self.facts.compression
        heard = np.append(heard / max(float(np.linalg.norm(heard)), 1e-8), 1)
        bits = self._projections @ heard.astype(np.float32) >= 0
        code = np.packbits(bits, bitorder="little")[None]
        numbers, _ = self._index.nearest(code, self.facts.neighbours)
        return self._masks[numbers[0]].mean(axis=0, dtype=np.float32)
