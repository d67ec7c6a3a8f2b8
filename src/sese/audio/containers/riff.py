"""WAV in all its forms: RIFF, RIFX (big-endian), and RF64 and BW64 with lengths of 64 bits."""

from __future__ import annotations

import struct

from sese.audio.containers.chunks import data_length
from sese.audio.containers.source import Damaged, Section, Source

FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_LONG = 0xFFFF_FFFF
_EXTENSIBLE = 0xFFFE
_IN_RF64 = (1, 3, 6, 7, _EXTENSIBLE)  # PCM, float, A-law and mu-law have 64 bits for their length
_FAR = 1 << 16  # bytes before the samples that libsndfile skips without trouble


def sections(source: Source) -> list[Section] | None:
    """Return the audio of a WAV file under a header with its true length; None where the file's own is true.

    Raises:
        Damaged: The file is cut short, or several files were joined.
    """
    kind = source.at(0, 4)
    order = ">" if kind == b"RIFX" else "<"
    chunk = struct.Struct(f"{order}4sI")
    form, long_length = b"", -1
    place = 12
    while True:
        head = source.at(place, 8)
        if len(head) < 8:
            return None
        name, said = chunk.unpack(head)
        place += 8
        if name == b"data":
            break
        if name == b"fmt " and said <= 1 << 16:
            form = source.at(place, said)
        elif name == b"ds64" and said >= 16:
            long_length = struct.unpack("<Q", source.at(place + 8, 8))[0]
        place += said + said % 2
    if len(form) < 16:
        return None

    def next_chunk(position: int) -> int:
        size = chunk.unpack(source.at(position, 8))[1]
        return position + 8 + size + size % 2

    sized = kind in (b"RF64", b"BW64") and said == _LONG and long_length >= 0
    said = long_length if sized else said
    length, note = data_length(source, place, said, next_chunk, bits=64 if sized else 32)
    if length == said and kind != b"BW64" and place < _FAR:
        return None
    tag = struct.unpack_from(f"{order}H", form)[0]
    return [Section(_header(order, tag, form, length), place, length, note=note)]


def _header(order: str, tag: int, form: bytes, length: int) -> bytes:
    """Return a header up to the first sample."""
    body = struct.pack(f"{order}4sI", b"fmt ", len(form)) + form + b"\0" * (len(form) % 2)
    whole = 4 + len(body) + 8 + length
    if whole < _LONG:
        start = struct.pack(f"{order}4sI4s", b"RIFX" if order == ">" else b"RIFF", whole, b"WAVE")
        return start + body + struct.pack(f"{order}4sI", b"data", length)
    if order == ">" or tag not in _IN_RF64:
        raise Damaged(f"{length} bytes of this encoding are more than its header can say; convert it to W64")
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, whole + 36, length, 0, 0)
    return struct.pack("<4sI4s", b"RF64", _LONG, b"WAVE") + sizes + body + struct.pack("<4sI", b"data", _LONG)
