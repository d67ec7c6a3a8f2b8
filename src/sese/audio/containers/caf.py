"""Apple's Core Audio Format."""

from __future__ import annotations

import struct

from sese.audio.containers.chunks import data_length
from sese.audio.containers.source import Section, Source

_EDITS = 4  # bytes before the samples in the data chunk


def sections(source: Source) -> list[Section] | None:
    """Return the audio of a CAF file under a header with its true length; None where it is true already.

    Raises:
        Damaged: The file is cut short, or several files were joined.
    """
    place, description, rest = 8, b"", b""
    while True:
        head = source.at(place, 12)
        if len(head) < 12:
            return None
        name, said = struct.unpack(">4sq", head)
        if name == b"data":
            break
        if said < 0:
            return None
        if said <= 1 << 16:
            chunk = source.at(place, 12 + said)
            if name == b"desc":
                description = chunk
            elif name in (b"chan", b"kuki"):
                rest += chunk
        place += 12 + said
    if description[20:24] not in (b"lpcm", b"alaw", b"ulaw"):  # others need a table that follows the samples
        return None
    start = place + 12 + _EDITS

    def next_chunk(position: int) -> int | None:
        size = source.at(position + 4, 8)
        return position + 12 + struct.unpack(">Q", size)[0] if len(size) == 8 else None

    known = said - _EDITS if said >= _EDITS else -1
    length, note = data_length(source, start, known, next_chunk, bits=64, align=1)
    if length == known:
        return None
    data = struct.pack(">4sq", b"data", length + _EDITS) + source.at(place + 12, _EDITS)
    return [Section(source.at(0, 8) + description + rest + data, start, length, note=note)]
