"""What is looked at in an ONNX file before ONNX Runtime sees it.

A model of this package is one file. Values outside it are refused: ONNX Runtime 1.20 reads whatever path a
file names, and one that it takes for an address ends the process. So are sizes of inputs and outputs that no
stream has, of which some end the process with any version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LARGEST = (1 << 31) - 1
"""Bytes of an ONNX file, as of any protocol buffer."""

LARGEST_SIZE = 1 << 24
"""Of an axis of an input or an output."""

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
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_SIZE = 1  # of an axis


def check_file(path: Path) -> None:
    """Look through the file.

    Raises:
        ValueError: a tensor has external data, an input or output a size that is out of range, or it is no
            protocol buffer, or too large for one.
        OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    data = path.read_bytes()
    # Tensors outside have an entry of this name: most files need not be looked through to the last node.
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
    """Number, begin and end of each field; a number's value and -1."""
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
            raise ValueError("it is no protocol buffer")
        if at > end:
            raise ValueError("it is cut short")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise ValueError("it is cut short")
