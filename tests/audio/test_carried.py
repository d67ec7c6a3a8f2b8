"""Tags, markers and speaker positions: the same bytes after as before, or a note."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.tiny_model import tone
from sese.audio.carried import read_carried
from sese.audio.files import probe, read_audio, read_blocks
from sese.audio.writer import AtomicWriter


def chunk(name: bytes, body: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(body)) + body + b"\0" * (len(body) % 2)


def coded(kind: str, channels: int = 1, **options: object) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(8000, channels), 16000, format=kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def copy(source: Path, target: Path) -> AtomicWriter:
    with AtomicWriter(target, probe(source)) as writer:
        for block in read_blocks(source, 1000):
            writer.write(block)
    return writer


LATIN = chunk(b"LIST", b"INFO" + chunk(b"INAM", "Café".encode("latin-1")))
CYRILLIC = chunk(b"LIST", b"INFO" + chunk(b"INAM", "Привет".encode("cp1251")))
CUE = chunk(b"cue ", struct.pack("<IIIIIII", 1, 1, 500, 0x61746164, 0, 0, 500))
LABEL = chunk(b"LIST", b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"door\0"))
BEXT = chunk(b"bext", b"A recorder".ljust(602, b"\0"))


@pytest.mark.parametrize("kind", ["WAV", "RF64"])
@pytest.mark.parametrize("extra", [LATIN, CYRILLIC, BEXT + CUE + LABEL + LATIN, chunk(b"id3 ", b"ID3odd")])
@pytest.mark.parametrize("before", [True, False])
def test_chunks_of_wav(tmp_path: Path, kind: str, extra: bytes, before: bool) -> None:
    data = coded(kind)
    place = data.index(b"data") if before else len(data)
    source, target = tmp_path / "in.wav", tmp_path / "out.wav"
    source.write_bytes(data[:place] + extra + data[place:])
    writer = copy(source, target)
    assert writer.notes == []
    written = target.read_bytes()
    assert written.count(extra) == 1
    assert written.endswith(extra)
    if kind == "WAV":
        assert struct.unpack("<I", written[4:8])[0] == len(written) - 8
    assert probe(target).frames == 8000
    assert read_carried(target).chunks == read_carried(source).chunks


def test_speaker_positions(tmp_path: Path) -> None:
    data = bytearray(coded("WAVEX", 4))
    place = data.index(b"fmt ") + 8 + 20
    data[place : place + 4] = struct.pack("<I", 0x603)
    (tmp_path / "in.wav").write_bytes(data)
    copy(tmp_path / "in.wav", tmp_path / "out.wav")
    written = (tmp_path / "out.wav").read_bytes()
    place = written.index(b"fmt ") + 8 + 20
    assert struct.unpack("<I", written[place : place + 4])[0] == 0x603
    assert "speaker positions" in copy(tmp_path / "in.wav", tmp_path / "out.flac").notes[0]


def test_chunks_of_aiff(tmp_path: Path) -> None:
    marks = chunk(b"MARK", struct.pack(">HHI", 1, 1, 400) + b"\x04door\0", ">")
    (tmp_path / "in.aiff").write_bytes(coded("AIFF") + marks)
    copy(tmp_path / "in.aiff", tmp_path / "out.aiff")
    written = (tmp_path / "out.aiff").read_bytes()
    assert written.endswith(marks)
    assert struct.unpack(">I", written[4:8])[0] == len(written) - 8
    assert probe(tmp_path / "out.aiff").frames == 8000


def chunk64(name: bytes, body: bytes) -> bytes:
    """A chunk of W64, with the end of most names."""
    return name + struct.pack("<Q", 24 + len(body)) + body + b"\0" * (-len(body) % 8)


W64_NAME = bytes.fromhex("f3acd3118cd100c04f8edb8a")
W64_MARKER = bytes.fromhex("5662f7ab2d39d21186c700c04f8edb8a")


@pytest.mark.parametrize("before", [True, False])
def test_markers_of_w64(tmp_path: Path, before: bool) -> None:
    data = coded("W64")
    marks = chunk64(b"bext" + W64_NAME, b"A recorder") + chunk64(W64_MARKER, struct.pack("<IQI", 1, 500, 0))
    place = data.index(b"data" + W64_NAME) if before else len(data)
    (tmp_path / "in.w64").write_bytes(data[:place] + b"\0" * (-place % 8) + marks + data[place:])
    assert probe(tmp_path / "in.w64").frames == 8000
    writer = copy(tmp_path / "in.w64", tmp_path / "out.w64")
    assert writer.notes == []
    written = (tmp_path / "out.w64").read_bytes()
    assert written.count(marks) == 1
    assert read_carried(tmp_path / "out.w64").chunks == read_carried(tmp_path / "in.w64").chunks
    assert struct.unpack("<Q", written[16:24])[0] == len(written)
    second, _ = soundfile.read(tmp_path / "out.w64")  # as other programs read it
    np.testing.assert_array_equal(second, read_audio(tmp_path / "in.w64")[0][:, 0])
    assert copy(tmp_path / "in.w64", tmp_path / "out.flac").notes == ["not kept in the output: bext, markers"]


def test_markers_of_caf(tmp_path: Path) -> None:
    marks = b""
    for name, body in (
        (b"mark", struct.pack(">II", 1, 1) + bytes(40)),
        (b"strg", struct.pack(">IIQ", 1, 1, 0) + b"door\0"),
        (b"chan", struct.pack(">III", 121 << 16 | 6, 0, 0)),
    ):
        marks += name + struct.pack(">q", len(body)) + body
    (tmp_path / "in.caf").write_bytes(coded("CAF", 6) + marks)
    assert copy(tmp_path / "in.caf", tmp_path / "out.caf").notes == []
    written = (tmp_path / "out.caf").read_bytes()
    assert written.endswith(marks)
    assert probe(tmp_path / "out.caf").frames == 8000
    first, second = (soundfile.read(tmp_path / name)[0] for name in ("in.caf", "out.caf"))
    np.testing.assert_array_equal(first, second)
    assert copy(tmp_path / "in.caf", tmp_path / "out.wav").notes == [
        "not kept in the output: markers, speaker positions"
    ]


@pytest.mark.parametrize("layout", [100 << 16 | 1, 101 << 16 | 2])
def test_one_and_two_speakers_need_no_positions(tmp_path: Path, layout: int) -> None:
    chan = b"chan" + struct.pack(">qIII", 12, layout, 0, 0)
    (tmp_path / "in.caf").write_bytes(coded("CAF", layout & 3) + chan)
    assert copy(tmp_path / "in.caf", tmp_path / "out.wav").notes == []


def test_tags_of_caf(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "in.caf", "w", 16000, 1, format="CAF") as file:
        file.title = "Talk"
        file.write(np.zeros(4000))
    for name in ("out.caf", "out.flac"):
        assert copy(tmp_path / "in.caf", tmp_path / name).notes == []
        assert probe(tmp_path / name).tags["title"] == "Talk"


@pytest.mark.parametrize("endian", ["BIG", "LITTLE"])
def test_annotation_of_au(tmp_path: Path, endian: str) -> None:
    data = coded("AU", endian=endian)
    note = b"door at 0:03\0\0\0\0"
    size = struct.pack(">I" if endian == "BIG" else "<I", 24 + len(note))
    (tmp_path / "in.au").write_bytes(data[:4] + size + data[8:24] + note + data[24:])
    assert copy(tmp_path / "in.au", tmp_path / "out.au").notes == []
    assert (tmp_path / "out.au").read_bytes()[24:40] == note
    first, second = (soundfile.read(tmp_path / name)[0] for name in ("in.au", "out.au"))
    np.testing.assert_array_equal(first, second)
    assert copy(tmp_path / "in.au", tmp_path / "out.wav").notes == ["not kept in the output: annotation"]


def test_padding_of_au_is_no_annotation(tmp_path: Path) -> None:
    data = coded("AU")
    (tmp_path / "in.au").write_bytes(data[:4] + struct.pack(">I", 32) + data[8:24] + bytes(8) + data[24:])
    assert copy(tmp_path / "in.au", tmp_path / "out.wav").notes == []


def test_blocks_of_flac(tmp_path: Path) -> None:
    data = coded("FLAC")
    picture = b"appl" + b"picture" * (1 << 18)
    block = bytes([2]) + len(picture).to_bytes(3, "big") + picture
    (tmp_path / "in.flac").write_bytes(data[:42] + block + data[42:])
    copy(tmp_path / "in.flac", tmp_path / "out.flac")
    assert (tmp_path / "out.flac").read_bytes().count(picture) == 1
    first, second = (soundfile.read(tmp_path / name)[0] for name in ("in.flac", "out.flac"))
    np.testing.assert_array_equal(first, second)


def test_tags_of_mp3(tmp_path: Path) -> None:
    text = b"\x01" + "Привет".encode("utf-16")
    frame = b"TIT2" + struct.pack(">I", len(text)) + b"\0\0" + text
    tag = b"ID3\x03\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame
    last = b"TAG" + "Café".encode("latin-1").ljust(125, b"\0")
    (tmp_path / "in.mp3").write_bytes(tag + coded("MP3") + last)
    copy(tmp_path / "in.mp3", tmp_path / "out.mp3")
    written = (tmp_path / "out.mp3").read_bytes()
    assert written.startswith(tag + b"\xff")
    assert written.endswith(last)
    assert probe(tmp_path / "out.mp3").frames == 8000


def test_what_is_dropped_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_bytes(coded("WAV") + BEXT + CUE + LATIN)
    assert copy(tmp_path / "in.wav", tmp_path / "out.flac").notes == ["not kept in the output: bext, markers"]


@pytest.mark.parametrize(("extra", "title"), [(LATIN, "Café"), (CYRILLIC, "Привет")])
def test_tags_of_wav_in_another_format(tmp_path: Path, extra: bytes, title: str) -> None:
    (tmp_path / "in.wav").write_bytes(coded("WAV") + extra)
    assert copy(tmp_path / "in.wav", tmp_path / "out.flac").notes == []
    assert probe(tmp_path / "out.flac").tags["title"] == title


def test_comments_of_ogg(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "in.ogg", "w", 16000, 1, format="OGG") as file:
        file.title = "Talk"
        file.write(np.zeros(4000))
    assert copy(tmp_path / "in.ogg", tmp_path / "out.ogg").notes == []
    assert probe(tmp_path / "out.ogg").tags["title"] == "Talk"
