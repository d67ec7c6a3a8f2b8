"""Sun's and NeXT's AU, whose samples go to the end of the file."""

from __future__ import annotations

import struct

from sese.audio.containers.chunks import data_length
from sese.audio.containers.source import Section, Source

_TO_THE_END = 0xFFFF_FFFF


def sections(source: Source) -> list[Section] | None:
    """Return the audio of an AU file under a header with its true length; None where it is true already.

    Raises:
        Damaged: The file is cut short, or several files were joined.
    """
    order = ">" if source.at(0, 4) == b".snd" else "<"
    head = source.at(0, 24)
    if len(head) < 24:
        return None
    start, said = struct.unpack(f"{order}II", head[4:12])
    if not 24 <= start <= 1 << 20:
        return None
    length, note = data_length(source, start, said, lambda _: None)
    if length == said:
        return None
    size = min(length, _TO_THE_END)
    start_bytes = head[:8] + struct.pack(f"{order}I", size) + source.at(12, start - 12)
    return [Section(start_bytes, start, length, note=note)]
