"""The nearest codes by the places in which bits differ."""

from __future__ import annotations

import importlib.util
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sese.bits.words import words
from sese.core.errors import InputError
from sese.core.install import install_command

Search = Literal["numpy", "faiss"]


class HammingIndex:
    """A dictionary of codes to be searched.

    Args:
        codes: (frame, byte) uint8, the first bit lowest.
        count: bits that are compared, the first ones.
        search: ``numpy``, which takes the first of codes that are as near as each other, or ``faiss``, a
            binary index of that library, which takes any of them.

    Raises:
        InputError: there is no such search, or faiss is not installed.
    """

    def __init__(self, codes: NDArray[np.uint8], count: int, search: Search = "numpy"):
        if search not in ("numpy", "faiss"):
            raise InputError(f"search is {search!r}; choose from numpy, faiss")
        self.count, self.search = count, search
        codes = self._cut(codes)
        if search == "faiss":
            if importlib.util.find_spec("faiss") is None:
                raise InputError(f"this search needs faiss; {install_command('hashing')}")
            import faiss

            faiss.omp_set_num_threads(1)
            self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
            self._index.add(codes)
        else:
            self._words = np.ascontiguousarray(_as_words(codes).T)  # (word, frame)

    def nearest(
        self, queries: NDArray[np.uint8], neighbours: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Find the nearest frames: queries (query, byte) -> numbers and distances (query, neighbour)."""
        queries = self._cut(queries)
        if self.search == "faiss":
            distances, numbers = self._index.search(queries, neighbours)
            return numbers, distances
        frames = self._words.shape[1]
        order = np.arange(frames)
        numbers = np.empty((len(queries), neighbours), np.int64)
        found = np.empty((len(queries), neighbours), np.int32)
        for row, query in enumerate(_as_words(queries)):
            differ = np.bitwise_count(self._words ^ query[:, None])
            ranks = differ.sum(axis=0, dtype=np.int64) * frames + order  # of equals the first
            chosen = np.sort(np.partition(ranks, neighbours - 1)[:neighbours])
            numbers[row], found[row] = chosen % frames, chosen // frames
        return numbers, found

    def _cut(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the first bits of codes, the rest of the last byte zero."""
        codes = np.ascontiguousarray(codes[:, : -(-self.count // 8)])
        if self.count % 8:
            codes[:, -1] &= (1 << self.count % 8) - 1
        return codes


def _as_words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    padded = np.zeros((len(codes), 8 * words(8 * codes.shape[1])), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view("<u8").astype(np.uint64, copy=False)
