"""JSON, tables, and arrays from `.npz` files, that may be damaged, or made to do harm."""

from __future__ import annotations

import csv
import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError, brief

LARGEST = 1 << 30
"""Bytes that the arrays of a file may take together; a zip file of a kilobyte can announce terabytes."""

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What taking up values of a file raises where they are not what they should be."""

# What NumPy and zipfile raise for damaged files, and for sizes and methods that nobody has.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError,
    tokenize.TokenError, MemoryError, OverflowError, RuntimeError,
)  # fmt: skip


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, also where it is nested so deeply that Python cannot read it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The columns of a CSV file, and its rows, each with the number of the line that it ends in.

    What a row lacks is empty there.

    Raises:
        InputError: the file cannot be read as a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, restval="")
            columns = list(reader.fieldnames or ())
            return columns, [(reader.line_num, {name: row[name] for name in columns}) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); name a CSV file in UTF-8") from None


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
    except _DAMAGED as error:
        raise InputError(f"{path} cannot be read as arrays ({error}); make it anew") from None


def read_array(path: Path, mapped: bool = False) -> NDArray:
    """The array of a `.npy` file; pickled objects are refused.

    Args:
        path: of the file.
        mapped: leave the values in the file.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it holds several")
        return array
    except _DAMAGED as error:
        raise InputError(f"{path} cannot be read as an array ({error}); delete it") from None


def array_of(
    held: Mapping[str, NDArray], name: str, kind: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray:
    """An array of a file, in C order, if it is what it has to be.

    Args:
        held: from `read_arrays`.
        name: of the array.
        kind: of its values; floats have to be finite.
        shape: that it has to have; None for any size.

    Raises:
        KeyError: there is none of this name.
        ValueError: it has another type or shape, or values that are not finite.
    """
    array = held[name]
    fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if array.dtype != kind or not fits:
        wanted = f"{np.dtype(kind)} {list(shape)}".replace("None", "any")
        raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, not {wanted}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return np.ascontiguousarray(array)


def check_counts(facts: Mapping[str, Any], **largest: int) -> None:
    """See that facts are whole numbers from 1 up to the largest that each may be.

    Raises:
        KeyError: a fact is missing.
        ValueError: a fact is something else.
    """
    for name, most in largest.items():
        value = facts[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"{name} is {brief(value)}, not a whole number from 1 to {most}")
