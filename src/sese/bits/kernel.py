"""The products of `words.py` in C, compiled where they run for the processor that is there."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from sese.bits.words import Matrix, Words, words
from sese.core.compiled import compile_library
from sese.core.errors import InputError


@dataclass(frozen=True)
class CompiledMatrix(Matrix):
    """A matrix whose products are made in C.

    Raises:
        InputError: there is no compiler, or it fails.
    """

    def __post_init__(self) -> None:
        library = _library()
        rows, width = self.signs.shape
        signs, least = self.signs.ctypes.data, self.least.ctypes.data
        kept = None if self.kept is None else self.kept.ctypes.data
        # The addresses are taken once: to ask for one takes as long as a small product.
        object.__setattr__(self, "_products", functools.partial(library.products, signs, kept, rows, width))
        object.__setattr__(self, "_above", functools.partial(library.above, signs, kept, least, rows, width))
        object.__setattr__(self, "_whole", (signs, kept, least, rows, width))

    def products(self, row: Words, mask: Words) -> NDArray[np.int32]:
        """Multiply, as any matrix does."""
        made = np.empty(len(self.signs), np.int32)
        self._products(_address(row), _address(mask), _address(made))  # type: ignore[attr-defined]
        return made

    def above(self, row: Words, mask: Words) -> Words:
        """Compare, as any matrix does."""
        made = np.zeros(words(len(self.signs)), np.uint64)
        self._above(_address(row), _address(mask), _address(made))  # type: ignore[attr-defined]
        return made

    def recur(
        self, candidate: Matrix, x: Words, known: Words, up: Words, updated: Words
    ) -> tuple[Words, Words]:
        """Take a step of a GRU, as any matrix does."""
        units, both = len(up), self.signs.shape[1]
        buffer = np.concatenate([x, up, known, updated, up, up, up])
        row = _address(buffer)
        whole = (*self._whole, *candidate._whole[:4])  # type: ignore[attr-defined]
        _library().recur(*whole, units, row, row + 8 * both, row + 16 * both)
        return buffer[both - units : both], buffer[2 * both - units : 2 * both]


def _address(array: NDArray) -> int:
    return array.__array_interface__["data"][0]


@functools.cache
def _library() -> ctypes.CDLL:
    """Open the functions of kernel.c, compiled at the first use and kept in the user's cache folder."""
    try:
        library = ctypes.CDLL(str(compile_library((files("sese.bits") / "kernel.c").read_bytes())))
    except InputError as error:
        raise InputError(f'the kernel of bits: {error}; or use kernel="numpy"') from None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.products.argtypes = [pointer, pointer, number, number, pointer, pointer, pointer]
    library.above.argtypes = [pointer, pointer, pointer, number, number, pointer, pointer, pointer]
    library.recur.argtypes = [*[pointer] * 3, number, number, *[pointer] * 3, number, number, *[pointer] * 3]
    library.products.restype = library.above.restype = library.recur.restype = None
    return library
