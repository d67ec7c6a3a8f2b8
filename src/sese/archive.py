"""Arrays from `.npz` files that may be damaged, or made to do harm."""

from __future__ import annotations

import os
import zipfile
import zlib

import numpy as np
from numpy.typing import NDArray

from sese.errors import InputError

LARGEST = 1 << 30
"""Bytes that the arrays of a file may take together; a zip file of a kilobyte can announce terabytes."""


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """All arrays of a file, by name; pickled objects are refused.

    Raises:
        FileNotFoundError: no such file.
        InputError: damaged, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
        if total > LARGEST:
            raise InputError(f"{path} unpacks to {total} bytes; {LARGEST} is the most that is read")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (FileNotFoundError, InputError):
        raise
    # What NumPy and zipfile raise for damaged files, and for sizes and methods that nobody has.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError,
            MemoryError, OverflowError, RuntimeError) as error:  # fmt: skip
        raise InputError(f"{path} cannot be read as arrays ({error}); make it anew") from None
