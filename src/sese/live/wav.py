"""Read and write the header of a WAV stream without seeking, with or without a known length.

libsndfile seeks in its input and fills blocks before it returns them, which does not work with a live pipe.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from sese.audio.carried import TECHNICAL, title
from sese.core.errors import InputError
from sese.live.pcm import ENCODINGS, Encoding

UNKNOWN = 0xFFFF_FFFF
# Programs that cannot go back to write the length leave 0, or about the largest number, signed or not.
_LARGEST_KNOWN = 0x7FFF_0000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_LONGEST_CHUNK = 1 << 20  # largest chunk that is read at once
_HOW = "give PCM of 16, 24 or 32 bits or 32-bit float, such as `ffmpeg -i FILE -f wav -c:a pcm_s16le -`"


@dataclass(frozen=True)
class Header:
    """A WAV header.

    Attributes:
        encoding: Encoding of a sample.
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        length: Length of the audio in bytes; None where it is unknown.
        format_chunk: Body of the chunk ``fmt``.
        others: Titles of chunks with tags and markers before the audio.
    """

    encoding: Encoding
    sample_rate: int
    channels: int
    length: int | None
    format_chunk: bytes
    others: tuple[str, ...] = ()

    def whole_frames(self) -> Header:
        """Return the header without the bytes at the end that are less than a frame."""
        frame = self.channels * self.encoding.width
        return replace(self, length=None if self.length is None else self.length // frame * frame)

    def write(self) -> bytes:
        """Return the bytes of the header, up to the first sample."""
        rest = struct.pack("<4sI", b"fmt ", len(self.format_chunk)) + self.format_chunk
        whole = len(rest) + 12 + (self.length or 0) + (self.length or 0) % 2
        known = self.length is not None and whole < UNKNOWN
        riff, data = (whole, self.length) if known else (UNKNOWN, UNKNOWN)
        return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + rest + struct.pack("<4sI", b"data", data)


def make_header(encoding: Encoding, sample_rate: int, channels: int) -> Header:
    """Return a header for audio of unknown length."""
    frame = channels * encoding.width
    tag = _FLOAT if encoding.is_float else _PCM
    form = struct.pack("<HHIIHH", tag, channels, sample_rate, frame * sample_rate, frame, encoding.bits)
    return Header(encoding, sample_rate, channels, None, form)


def is_wav(start: bytes) -> bool:
    """Return whether a stream that begins with these twelve bytes is WAV."""
    return start[:4] in (b"RIFF", b"RF64", b"BW64") and start[8:12] == b"WAVE"


def read_header(start: bytes, read: Callable[[int], bytes]) -> Header:
    """Read a header up to the first sample.

    Args:
        start: First twelve bytes, for which `is_wav` is true.
        read: Function that returns the given number of next bytes, fewer only at the end of the stream.

    Raises:
        InputError: The stream ends before the audio, or its encoding is not one of `ENCODINGS`.
    """
    form = None
    others: list[str] = []
    long_length = None  # of RF64
    while True:
        kind, size = struct.unpack("<4sI", _exactly(read, 8))
        if kind == b"data":
            break
        left = size + size % 2
        others += titles(kind)
        if size > _LONGEST_CHUNK:  # such as a picture: not held in memory
            while left:
                left -= len(_exactly(read, min(left, _LONGEST_CHUNK)))
            continue
        chunk = _exactly(read, left)[:size]
        if kind == b"fmt ":
            form = chunk
        elif kind == b"ds64" and size >= 16:
            long_length = struct.unpack_from("<Q", chunk, 8)[0]
    if form is None or len(form) < 16:
        raise InputError(
            "stdin has a WAV header without a format; write the file again, or give --format and --rate"
        )
    tag, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", form)
    if tag == _EXTENSIBLE and len(form) >= 26:
        tag = struct.unpack_from("<H", form, 24)[0]
    encoding = next((e for e in ENCODINGS.values() if (e.bits, e.is_float) == (bits, tag == _FLOAT)), None)
    if tag not in (_PCM, _FLOAT) or encoding is None:
        raise InputError(f"stdin is WAV of encoding {tag:#x} with {bits} bits, which cannot be read; {_HOW}")
    if frame != channels * encoding.width or not channels:
        raise InputError(
            f"stdin has a damaged WAV header ({channels} channels of {bits} bits in {frame} bytes); "
            "write the file again"
        )
    length: int | None = long_length if size == UNKNOWN and long_length else size
    if not length or (length == size and size >= _LARGEST_KNOWN):
        length = None
    return Header(encoding, rate, channels, length, form, tuple(others))


def titles(name: bytes) -> list[str]:
    """Return the title of a chunk in a list, empty for one that is about the samples or has no title."""
    return [title(name)] if name not in TECHNICAL and title(name) else []


class Trailer:
    """Read the chunks after the audio of a WAV stream, for their titles.

    Args:
        odd: Whether the audio has an odd number of bytes, so that another byte follows it.
    """

    def __init__(self, odd: bool) -> None:
        self._skip, self._head = int(odd), b""
        self.titles: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        while data:
            passed = min(self._skip, len(data))
            self._skip, data = self._skip - passed, data[passed:]
            taken = 8 - len(self._head)
            self._head, data = self._head + data[:taken], data[taken:]
            if len(self._head) == 8:
                name, size = struct.unpack("<4sI", self._head)
                if not all(32 <= byte < 127 for byte in name):  # no chunk, nor is what follows it
                    self._skip, self._head = sys.maxsize, b""
                    return
                self.titles += titles(name)
                self._skip, self._head = size + size % 2, b""


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) < size:
        raise InputError("stdin ended within the WAV header; check the program before sese")
    return data
