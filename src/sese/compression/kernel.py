"""The products of `words.py` in C, compiled where they run for the processor that is there."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.compression.words import Matrix, Words, words
from sese.errors import InputError

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


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
        """As of any matrix."""
        made = np.empty(len(self.signs), np.int32)
        self._products(_address(row), _address(mask), _address(made))  # type: ignore[attr-defined]
        return made

    def above(self, row: Words, mask: Words) -> Words:
        """As of any matrix."""
        made = np.zeros(words(len(self.signs)), np.uint64)
        self._above(_address(row), _address(mask), _address(made))  # type: ignore[attr-defined]
        return made

    def recur(
        self, candidate: Matrix, x: Words, known: Words, up: Words, updated: Words
    ) -> tuple[Words, Words]:
        """As of any matrix."""
        units, both = len(up), self.signs.shape[1]
        buffer = np.concatenate([x, up, known, updated, up, up, up])
        row = _address(buffer)
        whole = (*self._whole, *candidate._whole[:4])  # type: ignore[attr-defined]
        _library().recur(*whole, units, row, row + 8 * both, row + 16 * both)
        return buffer[both - units : both], buffer[2 * both - units : 2 * both]


def compiler() -> str | None:
    """The C compiler: that which CC names, else cc, gcc or clang; None where there is none."""
    names = filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))
    return next(filter(None, map(shutil.which, names)), None)


def _address(array: NDArray) -> int:
    return array.__array_interface__["data"][0]


@functools.cache
def _library() -> ctypes.CDLL:
    """The functions of kernel.c; compiled at the first use and kept in the user's cache folder."""
    library = ctypes.CDLL(str(_build((files("sese.compression") / "kernel.c").read_bytes())))
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.products.argtypes = [pointer, pointer, number, number, pointer, pointer, pointer]
    library.above.argtypes = [pointer, pointer, pointer, number, number, pointer, pointer, pointer]
    library.recur.argtypes = [*[pointer] * 3, number, number, *[pointer] * 3, number, number, *[pointer] * 3]
    library.products.restype = library.above.restype = library.recur.restype = None
    return library


def _build(source: bytes) -> Path:
    """The shared library of a source; appears whole or not at all."""
    program = compiler()
    if program is None:
        raise InputError('the kernel of bits needs a C compiler; install one, or use kernel="numpy"')
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "sese"
    # Another machine that shares the home folder may have another processor.
    named = b" ".join([source, program.encode(), platform.node().encode(), *map(str.encode, FLAGS)])
    target = folder / f"kernel-{hashlib.sha256(named).hexdigest()[:24]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        code, library = Path(made) / "kernel.c", Path(made) / "kernel.so"
        code.write_bytes(source)
        done = subprocess.run(
            [program, *FLAGS, "-o", str(library), str(code)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise InputError(f'{program} cannot compile the kernel of bits ({reason}); use kernel="numpy"')
        os.replace(library, target)
    return target
