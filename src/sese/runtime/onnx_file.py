"""Check an ONNX file before ONNX Runtime reads it.

A model of this package is one file. Values in other files are refused: ONNX Runtime 1.20 reads any path that
a file names, and one that it takes for an address ends the process. Sizes of inputs and outputs that no
stream has are refused too, as some of them end the process with any version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LARGEST = (1 << 31) - 1
"""Largest number of bytes of an ONNX file, as of any protocol buffer."""

LARGEST_SIZE = 1 << 24
"""Largest size of an axis of an input or an output."""

# Fields that lead to tensors and to sizes: message -> number -> message.
_BELOW: dict[str, dict[int, str]] = {
    "model": {7: "main", 20: "training", 25: "function"},
    "main": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "value": {2: "type"},
    "type": {1: "tensor type"},
    "tensor type": {2: "shape"},
    "shape": {1: "axis"},
    "axis": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_SIZE = 1  # field of an axis


def check_file(path: Path) -> None:
    """Look through the file for what ONNX Runtime must not see.

    Raises:
        ValueError: A tensor has external data, an input or output has a size that is out of range, or the
            file is not a protocol buffer, or is too large for one.
        OSError: The file cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    data = path.read_bytes()
    # Tensors in other files have an entry of this name; without it, nodes need not be searched.
    passed_over = () if b"location" in data else ("node", "tensor", "sparse", "training", "function")
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, begin, end = waiting.pop()
        for number, first, last in _fields(data, begin, end):
            if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and first)):
                raise ValueError("it keeps values in other files (external data)")
            if kind == "axis" and number == _SIZE and first > LARGEST_SIZE:
                raise ValueError(f"an input or output has an axis of {first}; {LARGEST_SIZE} is the most")
            below = _BELOW[kind].get(number)
            if below is not None and below not in passed_over and last >= 0:
                waiting.append((below, first, last))


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number, begin and end of each field; for numbers, their value and -1."""
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value, -1
        elif wire == 2:
            length, at = _varint(data, at)
            yield tag >> 3, at, at + length
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError("it is not a protocol buffer")
        if at > end:
            raise ValueError("it is cut short")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a position, and the position of its end."""
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it is cut short")
