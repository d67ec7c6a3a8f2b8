"""FLAC: the number of the last frame says how long the audio is, whatever the header says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from sese.audio.containers.source import PROBES, Damaged, Section, Source

_STREAM_INFO = b"fLaC\x00\x00\x00\x22"
_LONG_FRAME = 1 << 15  # bytes of a frame, where the header does not say the longest
_LONGEST_FRAME = 1 << 22
_LAST = 0x80


def sections(source: Source) -> list[Section] | None:
    """Return the audio of each FLAC file in a file, under a header with its true length.

    Returns:
        Sections; None for one file whose header is true.

    Raises:
        Damaged: The file is cut short.
    """
    first = _after_tag(source)
    if source.at(first, 4) != b"fLaC":
        return None
    if _is_one(source, first):
        return None
    starts, place = [first], first
    while (place := source.find(_STREAM_INFO, place + len(_STREAM_INFO))) >= 0:
        starts.append(place)
    ends = [*starts[1:], source.size]
    found = [_section(source, start, end) for start, end in zip(starts, ends, strict=True)]
    if len(found) == 1:
        return None if found[0] is None else [found[0]]
    return [
        section or Section(b"", start, end - start)
        for section, start, end in zip(found, starts, ends, strict=True)
    ]


def _after_tag(source: Source) -> int:
    head = source.at(0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _is_one(source: Source, start: int) -> bool:
    """Return whether the numbers of frames rise through the file, up to the length in its header."""
    layout = _layout(source, start)
    if layout is None or source.size < 1 << 16:
        return False
    info, first = layout
    before = 0
    for share in PROBES:
        place = first + int(share * (source.size - first))
        end = min(place + _frame_reach(info), source.size)
        found = next(_frames(source.at(place, end - place), info), None)
        if found is not None:
            if found[1] <= before:
                return False
            before = found[1]
    return before < _announced(info) == _count(source, first, source.size, info)


def _layout(source: Source, start: int) -> tuple[bytes, int] | None:
    """Return the STREAMINFO and the position of the first frame."""
    info = source.at(start + 8, 34)
    place, last = start + 4, False
    while not last:
        head = source.at(place, 4)
        if len(head) < 4:
            return None
        last = bool(head[0] & _LAST)
        place += 4 + int.from_bytes(head[1:], "big")
    return (info, place) if len(info) == 34 else None


def _announced(info: bytes) -> int:
    return int.from_bytes(info[13:18], "big") & (1 << 36) - 1


def _frame_reach(info: bytes) -> int:
    """Return a number of bytes that a whole frame fits in."""
    return 2 * (int.from_bytes(info[7:10], "big") or _LONG_FRAME) + 16


def _section(source: Source, start: int, end: int) -> Section | None:
    layout = _layout(source, start)
    if layout is None:
        return None
    info, first = layout
    said, frames = _announced(info), _count(source, first, end, info)
    if frames is None or frames == said:
        return None
    if frames < said:
        raise Damaged(f"{frames} of {said} samples are there")
    known = (info[13] & 0xF0) << 32 | frames
    info = info[:13] + known.to_bytes(5, "big") + bytes(16)
    return Section(b"fLaC\x80\x00\x00\x22" + info, first, end - first, frames)


def _count(source: Source, first: int, end: int, info: bytes) -> int | None:
    """Return the number of samples up to the end of the last frame; None where no frame is found."""
    for reach in (_frame_reach(info), _LONGEST_FRAME):
        begin = max(first, end - reach)
        block = source.at(begin, end - begin)
        if block[-128:-125] == b"TAG":
            block = block[:-128]
        found = list(_frames(block, info))
        for place, samples in reversed(found):
            if samples == _announced(info) or not _crc(block[place:], 0x8005, 16):
                return samples
        if found:  # the last frame is cut off, or something follows it
            return found[-1][1]
    return None


def _frames(block: bytes, info: bytes) -> Iterator[tuple[int, int]]:
    """Yield the position of each frame in a block of bytes, and the number of samples up to its end."""
    sync = b"\xff\xf8" if info[:2] == info[2:4] else b"\xff"
    place = block.find(sync)
    while place >= 0:
        samples = _samples(block[place : place + 17], info)
        if samples is not None:
            yield place, samples
        place = block.find(sync, place + 1)


def _samples(head: bytes, info: bytes) -> int | None:
    """Return the number of samples up to the end of the frame with this header; None where it is none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size, rate, channels = head[2] >> 4, head[2] & 15, (info[12] >> 1 & 7) + 1
    assigned = head[3] >> 4
    if not size or rate == 15 or (2 if 8 <= assigned <= 10 else assigned + 1) != channels:
        return None
    number, at = _number(head, 4)
    if number is None:
        return None
    if size == 1:
        samples = 192
    elif size <= 5:
        samples = 576 << size - 2
    elif size <= 7:
        width = size - 5
        samples = int.from_bytes(head[at : at + width], "big") + 1
        at += width
    else:
        samples = 256 << size - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    largest = int.from_bytes(info[2:4], "big")
    if at >= len(head) or _crc(head[:at], 0x07, 8) != head[at] or samples > largest:
        return None
    return (number if head[1] & 1 else number * largest) + samples


def _number(head: bytes, at: int) -> tuple[int | None, int]:
    """Return a number in the manner of UTF-8, and the position after it."""
    first = head[at]
    if first < 0x80:
        return first, at + 1
    more = 1
    while more < 7 and first & 0x80 >> more:
        more += 1
    if more == 1 or more > 7:
        return None, at
    number = first & (0x7F >> more)
    for byte in head[at + 1 : at + more]:
        if byte & 0xC0 != 0x80:
            return None, at
        number = number << 6 | byte & 0x3F
    return number, at + more


@lru_cache(maxsize=2)
def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    made, top, mask = [], 1 << bits - 1, (1 << bits) - 1
    for value in range(256):
        rest = value << bits - 8
        for _ in range(8):
            rest = (rest << 1 ^ polynomial if rest & top else rest << 1) & mask
        made.append(rest)
    return tuple(made)


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    """Return the checksum of a header (8 bits) or of a frame (16 bits); 0 where it is appended and right."""
    rest, table, mask = 0, _table(polynomial, bits), (1 << bits) - 1
    for byte in data:
        rest = (rest << 8 ^ table[rest >> bits - 8 ^ byte]) & mask
    return rest
