"""Find where the samples of an audio file lie and how many there are, whatever its length fields say.

A length field may be stale (the recorder was stopped), wrapped (4 GiB), missing (the file went through a
pipe) or for the first of several files that were joined. Each module looks at the bytes themselves, for one
family of containers. Its function `sections` returns None where libsndfile reads the file rightly as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

from sese.audio.containers import aiff, au, caf, flac, mp3, ogg, riff, w64
from sese.audio.containers.source import Damaged, Section, Source, View

__all__ = ["Damaged", "Section", "View", "sections"]

_BY_START: dict[bytes, Callable[[Source], list[Section] | None]] = {
    b"RIFF": riff.sections, b"RIFX": riff.sections, b"RF64": riff.sections, b"BW64": riff.sections,
    b"riff": w64.sections, b"FORM": aiff.sections, b".snd": au.sections, b"dns.": au.sections,
    b"caff": caf.sections, b"fLaC": flac.sections, b"OggS": ogg.sections,
}  # fmt: skip


def sections(file: BinaryIO) -> list[Section] | None:
    """Return where the audio of a file lies; None where libsndfile finds all of it by itself.

    Raises:
        Damaged: The file is cut short, or joined in a way that cannot be read.
    """
    try:
        return _sections(Source(file))
    except (struct.error, IndexError):  # it ends within a header; libsndfile says so
        return None


def _sections(source: Source) -> list[Section] | None:
    start = source.at(0, 4)
    if start in _BY_START:
        return _BY_START[start](source)
    if start[:3] == b"ID3":
        return flac.sections(source) or mp3.sections(source)
    return mp3.sections(source) if start[:1] == b"\xff" else None
