"""Read JSON, tables and arrays from files that may be damaged or hostile."""

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
"""Largest number of bytes of all arrays in a file; a zip file of a kilobyte can announce terabytes."""

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""Errors that using the values of a file raises where they are not as expected."""

# Errors that NumPy and zipfile raise for damaged files, and for absurd sizes and unknown methods.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError, SyntaxError,
    tokenize.TokenError, MemoryError, OverflowError, RuntimeError,
)  # fmt: skip


def from_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is not JSON, or is nested so deeply that Python cannot read it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a CSV file.

    Args:
        path: CSV file in UTF-8, with the names of its columns in the first line.

    Returns:
        Names of the columns, and for each row the number of its last line and its cells by column. Missing
        cells are empty.

    Raises:
        InputError: The file cannot be read as a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, restval="")
            columns = list(reader.fieldnames or ())
            return columns, [(reader.line_num, {name: row[name] for name in columns}) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); name a CSV file in UTF-8") from None


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """Read all arrays of a `.npz` file, by name; pickled objects are refused.

    Raises:
        FileNotFoundError: The file does not exist.
        InputError: The file is damaged, or its arrays are too large.
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
        raise InputError(f"{path} cannot be read as arrays ({error}); create it again") from None


def read_array(path: Path, mapped: bool = False) -> NDArray:
    """Read the array of a `.npy` file; pickled objects are refused.

    Args:
        path: Path of the file.
        mapped: Whether to leave the values in the file and map it into memory.

    Raises:
        InputError: The file cannot be read, or is damaged.
    """
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it holds several arrays")
        return array
    except _DAMAGED as error:
        raise InputError(f"{path} cannot be read as an array ({error}); delete it") from None


def array_of(
    held: Mapping[str, NDArray], name: str, kind: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray:
    """Return an array of a file, in C order, after a check of its type, shape and values.

    Args:
        held: Arrays from `read_arrays`.
        name: Name of the array.
        kind: Type of its values; floats have to be finite.
        shape: Shape that it has to have; None for any size of an axis.

    Raises:
        KeyError: There is no array of this name.
        ValueError: The array has another type or shape, or values that are not finite.
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
    """Check that facts are whole numbers from 1 to the largest value of each.

    Args:
        facts: Facts by name.
        largest: Largest value of each fact to check.

    Raises:
        KeyError: A fact is missing.
        ValueError: A fact is something else.
    """
    for name, most in largest.items():
        value = facts[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"{name} is {brief(value)}, not a whole number from 1 to {most}")
