"""Bits in 64-bit words, and products of them by exclusive or and counting.

A value is -1 or +1, and its bit a one for +1. Values that are 0 have a zero in a second word, the mask. The
product of two rows is how many values count in both, less twice how many of those differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

WIDTH = 64


@dataclass(frozen=True)
class Matrix:
    """Packed weights, and what their products are compared with.

    Attributes:
        signs: (row, word).
        kept: (row, word) which values are not 0; None where none is.
        least: (row,) int32, the smallest product that is a one.
    """

    signs: Words
    kept: Words | None
    least: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """Return the bytes in memory."""
        return sum(a.nbytes for a in (self.signs, self.kept, self.least) if a is not None)

    def products(self, row: Words, mask: Words) -> NDArray[np.int32]:
        """Multiply all rows with one (word,) whose values count where the mask has ones: (row,)."""
        differ = (self.signs ^ row) & mask
        if self.kept is None:
            counted = int(np.bitwise_count(mask).sum(dtype=np.int64))
            return (counted - 2 * np.bitwise_count(differ).sum(axis=1, dtype=np.int32)).astype(np.int32)
        differ &= self.kept
        counts = np.bitwise_count(self.kept & mask).sum(axis=1, dtype=np.int32)
        return counts - 2 * np.bitwise_count(differ).sum(axis=1, dtype=np.int32)

    def above(self, row: Words, mask: Words) -> Words:
        """Return which products are ones, packed: (row / 64 words,)."""
        return pack(self.products(row, mask) >= self.least)

    def recur(
        self, candidate: Matrix, x: Words, known: Words, up: Words, updated: Words
    ) -> tuple[Words, Words]:
        """Take a step of a GRU whose reset and update gates this matrix makes.

        Args:
            candidate: makes what is new.
            x, known: (word,) the input, and which of its values count.
            up, updated: (word,) the state: units that are +1, and units that are not 0.

        Returns:
            The next state.
        """
        both, counted = np.concatenate([x, up]), np.concatenate([known, updated])
        reset, update = np.split(self.above(both, counted), 2)
        counted[len(known) :] &= reset
        made = candidate.above(both, counted)
        return up ^ ((up ^ made) & update), updated | update


def pack(ones: NDArray[np.bool_]) -> Words:
    """Pack (..., value) of true and false -> (..., word), the first value lowest, filled with zeros.

    Example:
        >>> pack(np.array([True, False, True])).tolist()
        [5]
    """
    padded = np.zeros((*ones.shape[:-1], words(ones.shape[-1]) * 8), np.uint8)
    packed = np.packbits(ones, axis=-1, bitorder="little")
    padded[..., : packed.shape[-1]] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def unpack(packed: Words, count: int) -> NDArray[np.bool_]:
    """Unpack (..., word) -> (..., value) of true and false, the first `count`."""
    data = np.ascontiguousarray(packed.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(data, axis=-1, count=count, bitorder="little").astype(bool)


def words(count: int) -> int:
    """Return the number of words that hold a number of values."""
    return -(-count // WIDTH)


def ones(count: int) -> Words:
    """Return a mask in which the first `count` values count: (word,)."""
    return pack(np.ones(count, bool))
