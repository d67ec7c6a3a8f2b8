"""MP3: the frames themselves say how long the audio is; its first frame may hold a table that says so too."""

from __future__ import annotations

from dataclasses import dataclass

from sese.audio.containers.source import BLOCK, Damaged, Section, Source

_KBITS = {  # by MPEG version 1 or not: kbit/s of each code
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_TABLES = (b"Xing", b"Info")
_HAS_FRAMES, _HAS_BYTES = 1, 2
_SEARCHED = 1 << 16  # bytes of anything else before the first frame


@dataclass(frozen=True)
class _Frame:
    length: int
    table: int  # position of the table in the frame
    samples: int
    kind: bytes  # bits that are the same in all frames: version, layer, sample rate


def sections(source: Source) -> list[Section] | None:
    """Return the audio of each MP3 file in a file, under a first frame with its true length.

    Returns:
        Sections; None for one file whose table is true, and for what is not MP3 of Layer III.

    Raises:
        Damaged: The file is cut short.
    """
    first = _first(source, _after_tags(source, 0))
    if first < 0:
        return None
    frame = _frame(source.at(first, 4))
    assert frame is not None
    said, size = _table(source.at(first, frame.length), frame)
    trailing = 128 if source.at(source.size - 128, 3) == b"TAG" else 0
    if said is not None and size is not None and abs(source.size - trailing - first - size) <= frame.length:
        return None
    parts = _walk(source, first)
    found = []
    for number, (start, end, count) in enumerate(parts):
        found.append(_section(source, start, end, count, last=number == len(parts) - 1))
    if len(found) == 1 and found[0] is None:
        return None
    return [
        section or Section(b"", start, end - start)
        for section, (start, end, _) in zip(found, parts, strict=True)
    ]


def audio_bytes(source: Source) -> int:
    """Return the number of bytes of an MP3 file without its tags and without the table in its first frame."""
    first = max(0, _first(source, _after_tags(source, 0)))
    size = source.size - first - (128 if source.at(source.size - 128, 3) == b"TAG" else 0)
    frame = _frame(source.at(first, 4))
    if frame is not None and _table(source.at(first, frame.length), frame)[0] is not None:
        size -= frame.length
    return max(size, 1)


def _section(source: Source, start: int, end: int, count: int, last: bool) -> Section | None:
    """Return a part with a true table; None where its own is true."""
    frame = _frame(source.at(start, 4))
    assert frame is not None
    said, _ = _table(source.at(start, frame.length), frame)
    if said is None:
        return Section(_first_frame(source.at(start, 4), frame, count), start, end - start)
    count -= 1
    if said == count:
        return None
    if said > count:
        raise Damaged(f"{count} of {said} frames are there")
    whole = source.at(start, frame.length)
    table = frame.table + 8
    return Section(
        whole[:table] + count.to_bytes(4, "big") + whole[table + 4 :],
        start + frame.length,
        end - start - frame.length,
    )


def _walk(source: Source, first: int) -> list[tuple[int, int, int]]:
    """Return the start, the end and the number of frames of each file that was joined."""
    kind = (_frame(source.at(first, 4)) or _Frame(0, 0, 0, b"")).kind
    parts: list[tuple[int, int, int]] = []
    start, place, count = first, first, 0
    base, block = 0, b""
    while True:
        if not base <= place <= base + len(block) - 64:
            base, block = place, source.at(place, BLOCK)
        offset = place - base
        frame = _frame(block[offset : offset + 4])
        if frame is None or frame.kind != kind:
            after = _after_tags(source, place)
            found = _first(source, after)
            if found < 0:
                rest = source.size - after
                if rest > _SEARCHED and source.at(after, 8) != b"APETAGEX" and any(source.at(after, rest)):
                    raise Damaged(f"its last {rest} bytes are no MP3")
                break
            place = found
            frame = _frame(source.at(place, 4))
            if frame is None:
                break
            if frame.kind != kind:  # another rate: the reader says so
                parts.append((start, place, count))
                start, count, kind = place, 0, frame.kind
            continue
        if count and block[offset + frame.table : offset + frame.table + 4] in _TABLES:
            parts.append((start, place, count))
            start, count = place, 0
        if place + frame.length > source.size:
            break
        place, count = place + frame.length, count + 1
    if count:
        parts.append((start, min(place, source.size), count))
    return parts


def _first(source: Source, place: int) -> int:
    """Return the position of the next frame that another follows; -1 for none nearby."""
    limit = min(place + _SEARCHED, source.size)
    while 0 <= place < limit:
        frame = _frame(source.at(place, 4))
        if frame is not None:
            after = place + frame.length
            following = _frame(source.at(after, 4))
            if (following is not None and following.kind == frame.kind) or after == source.size:
                return place
        place = source.find(b"\xff", place + 1)
    return -1


def _after_tags(source: Source, place: int) -> int:
    while True:
        head = source.at(place, 10)
        if len(head) < 10 or head[:3] != b"ID3":
            return place
        place += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def _frame(head: bytes) -> _Frame | None:
    """Return the layout of the frame that begins with these four bytes; None where none of Layer III does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, code, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or code in (0, 15) or rate == 3:
        return None
    one = version == 3
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if one else 576
    length = samples // 8 * _KBITS[one][code] * 1000 // hertz + (head[2] >> 1 & 1)
    mono = head[3] >> 6 == 3
    side = (17 if mono else 32) if one else (9 if mono else 17)
    return _Frame(length, 4 + side, samples, bytes([head[1] & 0xFE, head[2] & 0x0C, mono]))


def _table(whole: bytes, frame: _Frame) -> tuple[int | None, int | None]:
    """Return the number of frames and of bytes in the table of a first frame; None for what is not there."""
    table = whole[frame.table :]
    if table[:4] not in _TABLES or len(table) < 16:
        return None, None
    flags = table[7]
    if not flags & _HAS_FRAMES:
        return None, None
    size = int.from_bytes(table[12:16], "big") if flags & _HAS_BYTES else None
    return int.from_bytes(table[8:12], "big"), size


def _first_frame(head: bytes, frame: _Frame, count: int) -> bytes:
    """Return a frame of silence with a table of the number of frames that follow it."""
    length = 0
    for code in range(1, 15):
        made = bytes([0xFF, head[1] | 1, code << 4 | head[2] & 0x0C, head[3]])
        layout = _frame(made)
        length = layout.length if layout else 0
        if length >= frame.table + 16:
            break
    start = made + bytes(frame.table - 4) + b"Xing" + bytes([0, 0, 0, _HAS_FRAMES]) + count.to_bytes(4, "big")
    return start + bytes(length - len(start))
