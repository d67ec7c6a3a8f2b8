"""Whether an ONNX file keeps values outside itself.

A model of this package is one file. Values outside it are refused before ONNX Runtime sees the file: versions
up to 1.23 or so read any path that it names, and one form of them makes old ones read any address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LARGEST = (1 << 31) - 1
"""Bytes of an ONNX file, as of any protocol buffer."""

# Fields that lead to tensors: message -> number -> message. TensorProto has no more below it.
_BELOW = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto


def keeps_values_outside(path: Path) -> bool:
    """Whether a tensor of the file, wherever it is, has external data.

    Raises:
        ValueError: it is no protocol buffer, or too large for one.
        OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    data = path.read_bytes()
    if b"location" not in data:  # the key of the entry that says where; most files end here
        return False
    waiting = [("model", 0, len(data))]
    while waiting:
        kind, begin, end = waiting.pop()
        for number, first, last in _fields(data, begin, end):
            if kind == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and first):
                    return True
            elif number in _BELOW[kind] and last >= 0:
                waiting.append((_BELOW[kind][number], first, last))
    return False


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
