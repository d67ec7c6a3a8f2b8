"""Carry tags, markers and speaker positions from a file to another of the same kind, byte for byte.

So no encoding of text is guessed. What cannot be carried is named in a note.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sese.audio.containers.source import Source
from sese.audio.containers.w64 import DATA as W64_DATA

_BLOCK = 1 << 20
_LARGEST = 1 << 26  # bytes of a chunk that are carried
_KINDS = {
    b"RIFF": "wav", b"RF64": "wav", b"BW64": "wav", b"FORM": "aiff", b"fLaC": "flac", b"ID3": "mp3",
    b"caff": "caf", b"riff": "w64", b".snd": "au", b"dns.": "au",
}  # fmt: skip
_OF_FORMAT = {
    "WAV": "wav", "WAVEX": "wav", "RF64": "wav", "AIFF": "aiff", "FLAC": "flac", "MP3": "mp3", "CAF": "caf",
    "W64": "w64", "AU": "au",
}  # fmt: skip
TECHNICAL = {  # about the samples, and written anew
    b"fmt ", b"data", b"fact", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"PEAK", b"COMM", b"SSND",
    b"FVER", b"elm1", b"desc", b"free", b"pakt", b"kuki", b"peak", b"ovvw", b"levl",
}  # fmt: skip
_MARKER = bytes.fromhex("5662f7ab2d39d21186c700c04f8edb8a")  # of W64
_NOTE = b"note"  # the text in an AU header
_TITLES = {
    b"chan": "speaker positions", b"mark": "markers", b"MARK": "markers", b"cue ": "markers",
    _MARKER: "markers", _NOTE: "annotation",
}  # fmt: skip
_TAGS_ONLY = {b"LIST", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"id3 ", b"ID3 ", b"info", b"strg"}
_INFO = {
    b"INAM": "title", b"IART": "artist", b"ICMT": "comment", b"ICRD": "date", b"ICOP": "copyright",
    b"IPRD": "album", b"IGNR": "genre",
}  # fmt: skip
_COPIED_COMMENTS = {
    "TITLE", "COPYRIGHT", "SOFTWARE", "ARTIST", "COMMENT", "DATE", "ALBUM", "LICENSE", "TRACKNUMBER", "GENRE",
    "ENCODER",
}  # fmt: skip
_KEPT_BLOCKS = (2, 4, 5, 6)  # of FLAC: application, comments, cue sheet, picture
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True)
class _Layout:
    """Form of a file of chunks.

    Attributes:
        begin: Position of the first chunk.
        name: Length of a name in bytes.
        size: Form of a length, for `struct`; in W64 it includes name and length.
        align: Chunks begin at multiples of this number of bytes.
    """

    begin: int
    name: int
    size: str
    align: int

    @property
    def head(self) -> int:
        return self.name + struct.calcsize(self.size)

    @property
    def counted(self) -> int:
        """Number of bytes before the body that its length includes."""
        return self.head if self.name > 4 else 0


_LAYOUTS = {
    "wav": _Layout(12, 4, "<I", 2), "aiff": _Layout(12, 4, ">I", 2), "caf": _Layout(8, 4, ">q", 1),
    "w64": _Layout(40, 16, "<q", 8),
}  # fmt: skip


@dataclass
class Carried:
    """Metadata of a file, to be written to its output as it is.

    Attributes:
        kind: wav, aiff, flac, mp3, caf, w64 or au; empty for others.
        chunks: Name and body of each chunk or block; of MP3 the whole tags before and after the audio.
        mask: Positions of the speakers in WAV; empty for none.
        dropped: Names of chunks that are too large.
    """

    kind: str = ""
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    mask: bytes = b""
    dropped: list[str] = field(default_factory=list)

    def fits(self, name: str) -> bool:
        """Return whether an output of this format, in libsndfile's words, takes the chunks as they are."""
        return bool(self.chunks or self.mask) and _OF_FORMAT.get(name) == self.kind

    def tags(self) -> dict[str, str]:
        """Return the tags of a WAV file as text; their encoding, which it does not say, is guessed."""
        found = {}
        for name, body in self.chunks:
            place = 4
            while name == b"LIST" and body[:4] == b"INFO" and place + 8 <= len(body):
                size = int.from_bytes(body[place + 4 : place + 8], "little")
                tag = _INFO.get(body[place : place + 4])
                if tag:
                    found[tag] = _text(body[place + 8 : place + 8 + size].rstrip(b"\0"))
                place += 8 + size + size % 2
        return found

    def notes(self, name: str, tags: dict[str, str]) -> list[str]:
        """Return a line about what is lost; none where all is kept.

        Args:
            name: Format of the output, in libsndfile's words.
            tags: Tags that the output gets in any format.
        """
        lost = list(self.dropped)
        if self.kind == "mp3" and not self.fits(name):
            lost += ["ID3 tag"] if self.chunks and not tags else []
        elif self.kind and not self.fits(name):
            lost += [title(chunk) for chunk, body in self.chunks if not _is_plain(chunk, body)]
            lost += ["speaker positions"] if self.mask else []
        names = sorted({word for word in lost if word})
        return [f"not kept in the output: {', '.join(names)}"] if names else []


def read_carried(path: Path) -> Carried:
    """Return what a file holds besides samples."""
    with path.open("rb") as file:
        source = Source(file)
        start = source.at(0, 12)
        kind = _KINDS.get(start[:4], _KINDS.get(start[:3], ""))
        found = Carried(kind)
        with suppress(struct.error, IndexError):  # what is whole is carried
            if kind in _LAYOUTS:
                _read_chunks(source, found, start)
            elif kind == "au":
                _read_note(source, found)
            elif kind == "flac":
                _read_blocks(source, found)
            if start[:4] == b"OggS":
                found.dropped = _other_comments(source.at(0, 1 << 16))
            if kind == "mp3" or start[:1] == b"\xff":
                _read_id3(source, found)
    return found


def add_carried(path: Path, name: str, carried: Carried) -> None:
    """Add chunks to a finished file of the same kind.

    Args:
        path: File, as libsndfile wrote it, without tags.
        name: Its format, in libsndfile's words.
        carried: Chunks of the source.
    """
    with path.open("r+b") as file:
        if carried.kind == "flac":
            _add_blocks(file, carried)
        elif carried.kind == "mp3":
            _add_id3(file, carried)
        elif carried.kind == "au":
            _add_note(file, carried)
        else:
            _add_chunks(file, carried)


def _read_chunks(source: Source, found: Carried, start: bytes) -> None:
    layout = _LAYOUTS[found.kind]
    place, head = layout.begin, layout.head
    long_length = 0
    while place + head <= source.size:
        name = source.at(place, layout.name)
        size = struct.unpack(layout.size, source.at(place + layout.name, head - layout.name))[0]
        size -= layout.counted
        if name == b"ds64":
            long_length = struct.unpack("<Q", source.at(place + head + 8, 8))[0]
        if name == b"data" and size == 0xFFFF_FFFF and start[:4] in (b"RF64", b"BW64"):
            size = long_length
        text = layout.name > 4 or all(32 <= byte < 127 for byte in name)
        if size < 0 or place + head + size > source.size or not text:
            return
        if name == b"fmt " and size >= 40 and source.at(place + head, 2) == struct.pack("<H", _EXTENSIBLE):
            found.mask = source.at(place + head + 20, 4)
        if name[:4] not in TECHNICAL:
            if size > _LARGEST:
                found.dropped.append(title(name))
            else:
                found.chunks.append((name, source.at(place + head, size)))
        place += head + size
        place += -place % layout.align


def _read_note(source: Source, found: Carried) -> None:
    start = struct.unpack(">I" if source.at(0, 4) == b".snd" else "<I", source.at(4, 4))[0]
    note = source.at(24, start - 24) if 24 < start <= 1 << 20 else b""
    if note.strip(b"\0"):
        found.chunks.append((_NOTE, note))


def _read_blocks(source: Source, found: Carried) -> None:
    place, last = 4, False
    while not last and place + 4 <= source.size:
        head = source.at(place, 4)
        last, size = bool(head[0] & 0x80), int.from_bytes(head[1:], "big")
        if head[0] & 0x7F in _KEPT_BLOCKS:
            found.chunks.append((bytes([head[0] & 0x7F]), source.at(place + 4, size)))
        place += 4 + size


def _read_id3(source: Source, found: Carried) -> None:
    found.kind = "mp3"
    head = source.at(0, 10)
    if head[:3] == b"ID3":
        size = sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        if size <= _LARGEST:
            found.chunks.append((b"first", source.at(0, 10 + size)))
        else:
            found.dropped.append("ID3 tag")
    if source.size > 128 and source.at(source.size - 128, 3) == b"TAG":
        found.chunks.append((b"last", source.at(source.size - 128, 128)))


def _add_chunks(file: BinaryIO, carried: Carried) -> None:
    layout = _LAYOUTS[carried.kind]
    added = b""
    for name, body in carried.chunks:
        chunk = name + struct.pack(layout.size, len(body) + layout.counted) + body
        added += chunk + b"\0" * (-len(chunk) % layout.align)
    head = file.read(4096)
    if carried.kind == "w64":  # many programs take what follows the samples for audio
        place = head.index(W64_DATA)
        _replace_start(file, place, head[:place] + added)
        whole = file.seek(0, 2)
    else:
        end = file.seek(0, 2)
        whole = end + file.write(b"\0" * (-end % layout.align) + added)
    if head[:4] == b"RF64":
        file.seek(head.index(b"ds64") + 8)
        file.write(struct.pack("<Q", whole - 8))
    elif carried.kind == "w64":
        file.seek(16)
        file.write(struct.pack("<Q", whole))
    elif carried.kind != "caf":  # which does not say its length
        file.seek(4)
        file.write(struct.pack(layout.size, whole - 8))
    place = head.find(b"fmt ")
    if carried.mask and place >= 0 and head[place + 8 : place + 10] == struct.pack("<H", _EXTENSIBLE):
        file.seek(place + 8 + 20)
        file.write(carried.mask)


def _add_note(file: BinaryIO, carried: Carried) -> None:
    head = file.read(24)
    order = ">" if head[:4] == b".snd" else "<"
    old = struct.unpack(f"{order}I", head[4:8])[0]
    note = carried.chunks[0][1]
    start = head[:4] + struct.pack(f"{order}I", 24 + len(note)) + head[8:] + note
    _replace_start(file, old, start)


def _add_blocks(file: BinaryIO, carried: Carried) -> None:
    source = Source(file)
    info = source.at(4, 38)
    place, last = 4, False
    while not last:
        head = source.at(place, 4)
        last = bool(head[0] & 0x80)
        place += 4 + int.from_bytes(head[1:], "big")
    blocks = [(info[:1], info[4:]), *carried.chunks]
    start = b"fLaC"
    for number, (kind, body) in enumerate(blocks, start=1):
        final = 0x80 if number == len(blocks) else 0
        start += bytes([kind[0] & 0x7F | final]) + len(body).to_bytes(3, "big") + body
    _replace_start(file, place, start)


def _add_id3(file: BinaryIO, carried: Carried) -> None:
    for kind, body in carried.chunks:
        if kind == b"last":
            file.seek(0, 2)
            file.write(body)
        else:
            _replace_start(file, 0, body)


def _replace_start(file: BinaryIO, old: int, start: bytes) -> None:
    """Replace the first `old` bytes of a file; the rest moves, block by block."""
    size = file.seek(0, 2)
    shift = len(start) - old
    places = range(old, size, _BLOCK)
    for place in reversed(places) if shift > 0 else places:
        file.seek(place)
        block = file.read(min(_BLOCK, size - place))
        file.seek(place + shift)
        file.write(block)
    file.seek(0)
    file.write(start)
    file.truncate(size + shift)


def _other_comments(start: bytes) -> list[str]:
    """Return the names of comments in an Ogg file that libsndfile does not copy."""
    place = max(start.find(b"\x03vorbis"), start.find(b"OpusTags"))
    if place < 0:
        return []
    end = start.find(b"\x05vorbis", place)
    names = re.findall(rb"\0([A-Za-z][A-Za-z_]{2,40})=", start[place : end if end > 0 else len(start)])
    return sorted({name.decode().upper() for name in names} - _COPIED_COMMENTS)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        letters = [byte for byte in body if byte > 127 or chr(byte).isalpha()]
        cyrillic = sum(byte >= 0xC0 for byte in letters) > len(letters) / 2
        return body.decode("cp1251" if cyrillic else "latin-1", "replace")


def _is_plain(name: bytes, body: bytes) -> bool:
    """Return whether a chunk has only tags, which go elsewhere, or the positions of one or two speakers."""
    if name == b"chan":
        return len(body) >= 4 and int.from_bytes(body[2:4], "big") in (1, 2)
    return name in _TAGS_ONLY


def title(name: bytes) -> str:
    """Return the word for a chunk in notes; empty for a block or tag that has a note of its own."""
    if name in _TITLES:
        return _TITLES[name]
    text = name[:4].decode("latin-1").strip()
    return text if len(name) >= 4 and text.isprintable() else ""
