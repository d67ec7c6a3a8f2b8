"""Decide where the samples of a file of chunks end: by its length field, or by what follows there."""

from __future__ import annotations

from collections.abc import Callable

from sese.audio.containers.source import Damaged, Source

UNKNOWN = 0x7FFF_0000
"""Programs that write into a pipe leave about the largest number, signed or not, as the length."""

WRAP = 1 << 32
"""A length of 32 bits counts up to this and starts again at 0."""

_KNOWN = frozenset(
    b"LIST|id3 |ID3 |bext|cue |smpl|iXML|_PMX|axml|chna|fact|PEAK|JUNK|PAD |inst|acid|umid|levl|plst|DISP|"
    b"COMT|MARK|INST|NAME|AUTH|ANNO|(c) |APPL|MIDI|AESD".split(b"|")
)
_JOINED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b".snd")


def data_length(
    source: Source,
    start: int,
    said: int,
    next_chunk: Callable[[int], int | None],
    *,
    bits: int = 32,
    align: int = 2,
    is_name: Callable[[bytes], bool] | None = None,
) -> tuple[int, str]:
    """Return the true length of the samples in bytes, and a note where the length field is not believed.

    The length field is believed where chunks, padding or the end of the file follow. Else it is stale, or
    wrapped, and all the rest of the file is audio.

    Args:
        source: The file.
        start: Position of the first sample.
        said: Length in bytes in the header; one that is known to mean "unknown" as -1.
        next_chunk: Function that returns the end of the chunk at a position, None where there is none.
        bits: Bits of the length field.
        align: Chunks begin at multiples of this number of bytes.
        is_name: Function that says whether 16 bytes begin with the name of a chunk; None for names of four
            letters.

    Raises:
        Damaged: The file ends before the length that its header gives, or another file follows in it.
    """
    there = source.size - start
    unknown = said < 0 or (bits == 32 and said >= UNKNOWN)
    length = said
    while 0 <= length <= there:
        end = start + length
        for place in {end, end + -length % align}:
            if source.at(place, 4) in _JOINED and place < source.size - 8 and (length or said):
                raise Damaged(f"another file follows in it after {length} bytes of audio; separate them")
            if _ends_well(source, place, next_chunk, is_name or _is_text):
                return length, ""
        length += WRAP
        if bits != 32:
            break
    if said > there and not unknown:
        raise Damaged(f"{there} of {said} bytes of audio are there")
    if unknown or not said or said == there:
        return there, ""
    return there, (
        f"the header says {said} bytes of audio, but what follows is no metadata; all {there} bytes up to "
        "the end were taken for audio"
    )


def _is_text(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name[:4])


def _ends_well(
    source: Source, place: int, next_chunk: Callable[[int], int | None], is_name: Callable[[bytes], bool]
) -> bool:
    """Return whether nothing but chunks, tags and padding lies from `place` to the end of the file."""
    first = True
    while source.size - place >= 8 and not source.is_padding(place):
        start = source.at(place, 8)
        if start[:3] in (b"TAG", b"ID3") or start == b"APETAGEX":
            return True
        end = next_chunk(place)
        known = start[:4] in _KNOWN
        if end is None or end <= place or (not known and not is_name(source.at(place, 16))):
            return False
        if end > source.size + 1:  # the last chunk may be cut off, where it cannot be audio
            return known and first
        place, first = end, False
    return True
