"""Sony's Wave64: chunks with names of 16 bytes and lengths of 64 bits."""

from __future__ import annotations

import struct

from sese.audio.containers.chunks import data_length
from sese.audio.containers.source import Section, Source

DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_VENDOR = bytes.fromhex("00c04f8edb8a")
"""End of the name of every chunk."""

_HEAD = 24  # bytes of a chunk's name and length, which the length includes


def _is_name(start: bytes) -> bool:
    return start[10:16] == _VENDOR


def sections(source: Source) -> list[Section] | None:
    """Return the audio of a W64 file under its header with the true length; None where it is true already.

    Raises:
        Damaged: The file is cut short.
    """
    place = 40
    while True:
        name, size = source.at(place, 16), source.at(place + 16, 8)
        if len(size) < 8:
            return None
        said = struct.unpack("<q", size)[0]
        if name == DATA:
            break
        if said < _HEAD:
            return None
        place += said + -said % 8

    def next_chunk(position: int) -> int | None:
        size = source.at(position + 16, 8)
        if len(size) < 8:
            return None
        end = position + struct.unpack("<Q", size)[0]
        return max(end, min(end + -end % 8, source.size))  # the last one need not be padded

    start = place + _HEAD
    known = said - _HEAD if _HEAD < said < 1 << 62 else -1
    length, note = data_length(source, start, known, next_chunk, bits=64, align=8, is_name=_is_name)
    # libsndfile takes chunks after the samples for audio.
    if (length == known and source.size - start - length < 8) or place > 1 << 20:
        return None
    head = source.at(0, place + 16) + struct.pack("<Q", length + _HEAD)
    return [Section(head, start, length, note=note)]
