"""Ogg: a file may hold several streams one after another, of which libsndfile reads the first."""

from __future__ import annotations

from sese.audio.containers.source import BLOCK, PROBES, Damaged, Section, Source

_HEAD = 27
_BEGINS = 2
_LONGEST_PAGE = 27 + 255 + 255 * 255


def sections(source: Source) -> list[Section] | None:
    """Return each stream of an Ogg file that holds several, one after another; None for one.

    Raises:
        Damaged: The file is cut short.
    """
    _check_end(source)
    if _is_one(source):
        return None
    starts: list[int] = []
    place, beginning = 0, False
    while True:
        head = source.at(place, _HEAD)
        if len(head) < _HEAD or head[:4] != b"OggS":
            place = source.find(b"OggS", place + 1) if len(head) == _HEAD else -1
            if place < 0:
                break
            continue
        if head[5] & _BEGINS:
            if not beginning:
                starts.append(place)
            beginning = True
        else:
            beginning = False
        place += _HEAD + head[26] + sum(source.at(place + _HEAD, head[26]))
    if len(starts) < 2:
        return None
    ends = [*starts[1:], source.size]
    return [Section(b"", start, end - start) for start, end in zip(starts, ends, strict=True)]


def _check_end(source: Source) -> None:
    """Check that the last page is whole; libsndfile passes over what is there of it.

    Raises:
        Damaged: It is not.
    """
    begin = max(0, source.size - _LONGEST_PAGE)
    place = source.at(begin, _LONGEST_PAGE).rfind(b"OggS\0") + begin
    head = source.at(place, _HEAD)
    if place >= begin and len(head) == _HEAD:
        lengths = source.at(place + _HEAD, head[26])
        if len(lengths) < head[26] or place + _HEAD + head[26] + sum(lengths) > source.size:
            raise Damaged("its last page is cut off")


def _is_one(source: Source) -> bool:
    """Return whether the numbers of pages rise through the file, all of one stream."""
    first = source.at(0, _HEAD)
    if source.size < BLOCK or len(first) < _HEAD:
        return False
    before = 0
    for share in (*PROBES, 1.0):
        begin = max(0, min(int(share * source.size), source.size - _LONGEST_PAGE))
        block = source.at(begin, _LONGEST_PAGE + _HEAD)
        place = block.find(b"OggS")
        if place < 0 or len(block) < place + _HEAD:
            continue
        page = block[place : place + _HEAD]
        number = int.from_bytes(page[18:22], "little")
        if page[14:18] != first[14:18] or number < before or (number == 0 and begin):
            return False
        before = number
    return True
