"""Bytes made wrong in the ways in which files become wrong, or are made so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

HEADER = 512
"""Bytes at the start that are hit more often than the rest."""

EXTREME = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
"""Numbers that sizes, rates and counts are replaced by."""


def mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """One to four changes, each somewhere, of a kind that is drawn.

    Args:
        data: a whole file.
        others: files that parts are taken from.
        rng: decides.
    """
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        kinds = (_bits, _number, _number, _cut, _remove, _repeat, _zero, _noise, _splice)
        kinds[rng.integers(len(kinds))](changed, others, rng)
    return bytes(changed)


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Mostly in the header."""
    end = min(len(data), HEADER) if rng.random() < 0.7 else len(data)
    return int(rng.integers(max(end, 1)))


def _length(data: bytearray, rng: np.random.Generator) -> int:
    """Short ones are likelier."""
    return int(np.exp(rng.uniform(0, np.log(max(len(data), 2)))))


def _bits(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _number(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    size = int(rng.choice((1, 2, 4, 8)))
    value = EXTREME[rng.integers(len(EXTREME))] % 2 ** (8 * size)
    place = _place(data, rng)
    data[place : place + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _cut(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    del data[_place(data, rng) if rng.random() < 0.5 else len(data) - _length(data, rng) :]


def _remove(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    del data[place : place + _length(data, rng)]


def _repeat(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    place = _place(data, rng)
    piece = data[place : place + _length(data, rng)]
    data[place:place] = piece * int(rng.integers(1, 4))


def _zero(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    place, length = _place(data, rng), _length(data, rng)
    data[place : place + length] = bytes(len(data[place : place + length]))


def _noise(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    place, length = _place(data, rng), min(_length(data, rng), 256)
    data[place : place + length] = rng.bytes(length)


def _splice(data: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    other = others[rng.integers(len(others))]
    place = _place(data, rng)
    data[place:] = other[int(rng.integers(max(len(other), 1))) :]
