"""Read bytes at any position of a file, and present sections of a file to libsndfile as files."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import BinaryIO

WINDOW = 1 << 14
"""Number of bytes that are read at a time."""

BLOCK = 1 << 20
"""Number of bytes that are read at a time where all of a file is searched."""

PROBES = (0.15, 0.37, 0.61, 0.83)
"""Places, as shares of a file, where numbers must rise unless files were joined."""

PADDING = 4096
"""Largest number of zero bytes after the samples that are taken for padding, not for silence."""


class Damaged(ValueError):
    """A file that is cut short, or whose parts contradict each other; the message says how."""


class Source:
    """Bytes of a file, read through a window.

    Args:
        file: Open file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self._window = b""
        self._begin = 0

    def at(self, position: int, count: int) -> bytes:
        """Return `count` bytes from `position` on, fewer at the end of the file."""
        if not self._begin <= position <= position + count <= self._begin + len(self._window):
            self._file.seek(position)
            self._window = self._file.read(max(count, WINDOW))
            self._begin = position
        offset = position - self._begin
        return self._window[offset : offset + count]

    def find(self, wanted: bytes, start: int) -> int:
        """Return the position of the next occurrence of `wanted` at or after `start`; -1 for none."""
        while start < self.size:
            block = self.at(start, BLOCK)
            place = block.find(wanted)
            if place >= 0:
                return start + place
            start += max(len(block) - len(wanted) + 1, 1)
        return -1

    def is_padding(self, position: int) -> bool:
        """Return whether the bytes from `position` to the end of the file are none, or a few zeros."""
        rest = self.size - position
        return rest <= PADDING and not any(self.at(position, rest))


@dataclass(frozen=True)
class Section:
    """Part of a file that libsndfile reads as a file of its own.

    Attributes:
        head: Bytes to put before the section: a header with the true length.
        start: Position of the section in the file.
        length: Length of the section in bytes.
        frames: Number of samples of each channel; None where libsndfile counts them itself.
        note: What a user should know about the length; empty for nothing.
    """

    head: bytes
    start: int
    length: int
    frames: int | None = None
    note: str = ""


class View(io.RawIOBase):
    """A section of a file, as a file that can be read and not written.

    Args:
        file: Open file, closed together with the view.
        section: Section to present.
    """

    def __init__(self, file: BinaryIO, section: Section) -> None:
        super().__init__()
        self._file, self._section = file, section
        self._size = len(section.head) + section.length
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        left = max(0, self._size - self._at)
        size = left if size < 0 else min(size, left)
        head = self._section.head[self._at : self._at + size]
        data = head
        if len(head) < size:
            self._file.seek(self._section.start + self._at + len(head) - len(self._section.head))
            data += self._file.read(size - len(head))
        self._at += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer, and return the number of bytes read."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
