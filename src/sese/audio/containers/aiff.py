"""AIFF and AIFF-C."""

from __future__ import annotations

import struct

from sese.audio.containers.chunks import UNKNOWN, data_length
from sese.audio.containers.source import Damaged, Section, Source


def sections(source: Source) -> list[Section] | None:
    """Return the audio of an AIFF file under a header with its true length; None where it is true already.

    Raises:
        Damaged: The file is cut short, several files were joined, or it is longer than the format can say.
    """
    common = version = b""
    place = 12
    while True:
        head = source.at(place, 8)
        if len(head) < 8:
            return None
        name, said = struct.unpack(">4sI", head)
        if name == b"SSND":
            break
        if name in (b"COMM", b"FVER") and said <= 1 << 16:
            chunk = source.at(place, 8 + said + said % 2)
            common, version = (chunk, version) if name == b"COMM" else (common, chunk)
        place += 8 + said + said % 2
    if len(common) < 26:  # it follows the samples, which is rare and needs a whole file
        return None
    offset = struct.unpack(">I", source.at(place + 8, 4) or b"\0\0\0\0")[0]
    start = place + 16

    def next_chunk(position: int) -> int:
        size = struct.unpack(">I", source.at(position + 4, 4))[0]
        return position + 8 + size + size % 2

    known = said - 8 if 8 <= said < UNKNOWN else -1
    if offset > 1 << 20:
        return None
    length, note = data_length(source, start, known, next_chunk)
    frame, announced = _frame_bytes(common), struct.unpack(">I", common[10:14])[0]
    if length == known and (not frame or announced == length // frame):
        return None
    frames = length // frame if frame else announced
    if length + 1024 >= 1 << 32:
        raise Damaged(f"{length} bytes of audio are more than AIFF can hold; convert it to W64 or CAF")
    common = common[:10] + struct.pack(">I", frames) + common[14:]
    sound = struct.pack(">4sI", b"SSND", length + 8) + source.at(place + 8, 8)
    body = source.at(8, 4) + version + common + sound
    return [Section(struct.pack(">4sI", b"FORM", len(body) + length) + body, start, length, note=note)]


def _frame_bytes(common: bytes) -> int:
    """Return the number of bytes of a sample of every channel; 0 for encodings in blocks."""
    channels, _, bits = struct.unpack(">HIH", common[8:16])
    encoding = common[26:30] or b"NONE"
    plain = (b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"raw ")
    return channels * -(-bits // 8) if encoding in plain else 0
