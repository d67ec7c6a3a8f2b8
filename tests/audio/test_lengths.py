"""Length fields that contradict the file: all the audio is read, or the file is refused."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.tiny_model import tone
from sese.audio.files import probe, read_audio
from sese.audio.writer import open_writer
from sese.core.errors import InputError
from sese.data.bank import decode
from sese.data.corpora import scan

FRAMES = 8 * 16000
SAID = 2 * 16000
AUDIO = 0.3 * tone(FRAMES)[:, 0] + 0.01 * np.random.default_rng(0).standard_normal(FRAMES)


def coded(kind: str, subtype: str | None = None, audio: np.ndarray = AUDIO, rate: int = 16000) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, subtype, format=kind)
    return bytearray(file.getvalue())


def put(form: str, value: int, offset: int, after: bytes = b"") -> Callable[[bytearray], bytearray]:
    """Return a function that puts a number at a position after some bytes."""

    def change(data: bytearray) -> bytearray:
        place = data.index(after) + len(after) + offset
        data[place : place + struct.calcsize(form)] = struct.pack(form, value)
        return data

    return change


def put_flac(value: int) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        data[21] &= 0xF0
        data[22:26] = struct.pack(">I", value)
        return data

    return change


W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
STALE = {
    "wav": ("WAV", put("<I", 2 * SAID, 0, b"data")),
    "wav of 0 bytes": ("WAV", put("<I", 0, 0, b"data")),
    "wav from a pipe": ("WAV", put("<I", 0x7FFFFFFF, 0, b"data")),
    "wav, big-endian": ("WAV", put("<I", 2 * SAID, 0, b"data")),
    "rf64": ("RF64", put("<Q", 2 * SAID, 12, b"ds64")),
    "w64": ("W64", put("<Q", 2 * SAID + 24, 0, W64_DATA)),
    "w64 from a pipe": ("W64", put("<q", -1, 0, W64_DATA)),
    "aiff": ("AIFF", put(">I", 2 * SAID + 8, 0, b"SSND")),
    "aiff from a pipe": ("AIFF", put(">I", 0, 0, b"SSND")),
    "au": ("AU", put(">I", 2 * SAID, 8)),
    "au from a pipe": ("AU", put(">I", 0xFFFFFFFF, 8)),
    "caf": ("CAF", put(">q", 2 * SAID + 4, 0, b"data")),
    "caf from a pipe": ("CAF", put(">q", -1, 0, b"data")),
    "flac": ("FLAC", put_flac(SAID)),
    "flac from a pipe": ("FLAC", put_flac(0)),
}


@pytest.mark.parametrize("name", STALE)
def test_all_the_audio_is_read(tmp_path: Path, name: str) -> None:
    kind, change = STALE[name]
    data = coded(kind)
    if name == "wav, big-endian":
        file = io.BytesIO()
        soundfile.write(file, AUDIO, 16000, format="WAV", endian="BIG")
        data, change = bytearray(file.getvalue()), put(">I", 2 * SAID, 0, b"data")
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert len(expected) == FRAMES
    path.write_bytes(change(data))
    audio, rate = read_audio(path)
    np.testing.assert_array_equal(audio, expected)
    assert (probe(path).frames, rate) == (FRAMES, 16000)
    assert len(decode(path, 16000)) == FRAMES, "a bank too"
    assert [record.frames for record in scan(tmp_path).speech] == [FRAMES], "a corpus too"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("WAV", put("<I", 4 * FRAMES, 0, b"data")),
        ("W64", put("<Q", 4 * FRAMES, 0, W64_DATA)),
        ("AIFF", put(">I", 4 * FRAMES, 0, b"SSND")),
        ("AU", put(">I", 4 * FRAMES, 8)),
        ("CAF", put(">q", 4 * FRAMES, 0, b"data")),
        ("FLAC", put_flac(2 * FRAMES)),
    ],
)
def test_less_than_the_header_says_is_refused(
    tmp_path: Path, kind: str, change: Callable[[bytearray], bytearray]
) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(change(coded(kind)))
    with pytest.raises(InputError, match=r"cut short or damaged .* are there"):
        probe(path)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


@pytest.mark.parametrize(
    "end",
    [
        chunk(b"LIST", b"INFOINAM" + struct.pack("<I", 4) + b"name") + chunk(b"zzzz", b"abc"),
        chunk(b"id3 ", bytes(100)),
        bytes(512),
        b"TAG" + bytes(125),
        b"LIST" + struct.pack("<I", 100) + b"INFO",
        b"x",
    ],
)
def test_what_follows_the_audio_is_not_audio(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(coded("WAV") + end)
    assert probe(tmp_path / "a.wav").frames == FRAMES
    assert len(read_audio(tmp_path / "a.wav")[0]) == FRAMES


@pytest.mark.parametrize(
    ("kind", "suffix"), [("WAV", "wav"), ("AIFF", "aiff"), ("W64", "w64"), ("CAF", "caf")]
)
def test_other_bytes_after_the_audio_are_named(tmp_path: Path, kind: str, suffix: str) -> None:
    """They may be audio that a stale length does not count, so they are read, and a note says so."""
    path = tmp_path / f"a.{suffix}"
    data = coded(kind)
    path.write_bytes(data)
    assert probe(path).notes == ()
    path.write_bytes(data + b"\xff\x01junk" * 1000)
    info = probe(path)
    assert info.frames == FRAMES + 3000
    (note,) = info.notes
    assert f"the header says {2 * FRAMES} bytes of audio" in note
    assert f"all {2 * FRAMES + 6000} bytes up to the end were taken for audio" in note
    with open_writer(tmp_path / f"b.{suffix}", info) as writer:
        writer.write(np.zeros((16, 1), np.float32))
    assert note in writer.notes


@pytest.mark.parametrize("name", ["wav of 0 bytes", "wav from a pipe", "aiff from a pipe", "au from a pipe"])
def test_a_length_that_is_known_to_be_missing_needs_no_note(tmp_path: Path, name: str) -> None:
    kind, change = STALE[name]
    (tmp_path / "a.bin").write_bytes(change(coded(kind)))
    assert probe(tmp_path / "a.bin").notes == ()


@pytest.mark.parametrize("end", [b"", chunk(b"LIST", b"INFO")])
def test_wav_beyond_4_gib(tmp_path: Path, end: bytes) -> None:
    """With the length modulo 4 GiB; the file is full of holes."""
    length = 5 << 30
    data = put("<I", length % (1 << 32), 0, b"data")(coded("WAV", audio=np.zeros(0)))
    with (tmp_path / "long.wav").open("wb") as file:
        file.write(data)
        file.truncate(len(data) + length)
        file.seek(0, 2)
        file.write(end)
    assert probe(tmp_path / "long.wav").frames == length // 2


@pytest.mark.parametrize("far", [0, 1 << 17, 20 << 20])
def test_bw64_and_large_chunks_before_the_audio(tmp_path: Path, far: int) -> None:
    data = coded("RF64")
    data[:4] = b"BW64"
    place = data.index(b"data")
    data[place:place] = chunk(b"axml", bytes(far))
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_audio(tmp_path / "a.wav")[0]) == FRAMES


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", None), ("MP3", None), ("MP3", "tagged")],
)
def test_joined_files_are_read_to_the_end(tmp_path: Path, kind: str, subtype: str | None) -> None:
    tag = b"ID3\x04\0\0\0\0\x01\0" + bytes(128) if subtype == "tagged" else b""
    data = tag + coded(kind, None if tag else subtype)
    other = tag + coded(kind, None if tag else subtype, AUDIO[:SAID])
    (tmp_path / "a.bin").write_bytes(data)
    first, _ = soundfile.read(tmp_path / "a.bin")
    (tmp_path / "a.bin").write_bytes(data + other + data)
    audio, _ = read_audio(tmp_path / "a.bin")
    assert len(audio) == probe(tmp_path / "a.bin").frames == (2 * FRAMES + SAID)
    np.testing.assert_allclose(audio[: len(first), 0], first, atol=1e-6)
    np.testing.assert_allclose(audio[-len(first) :, 0], first, atol=1e-6)


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "MP3"])
def test_files_of_different_rates_cannot_be_joined(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.bin").write_bytes(coded(kind) + coded(kind, rate=24000))
    with pytest.raises(InputError, match="joined from files with different"):
        probe(tmp_path / "a.bin")


def test_joined_wav_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(coded("WAV") + coded("WAV"))
    with pytest.raises(InputError, match="another file follows"):
        probe(tmp_path / "a.wav")


def without_table(data: bytearray) -> bytes:
    """Return an MP3 file without its first frame, which says how many follow."""
    return bytes(data[data.index(b"\xff", data.index(b"Xing") + 120 + 20) :])


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_without_a_table(tmp_path: Path, mode: str, rate: int) -> None:
    """Its frames are counted: of a variable bit rate the first says little about the others."""
    quiet = AUDIO * np.where(np.arange(FRAMES) < SAID, 0.001, 1)
    path = tmp_path / "a.mp3"
    soundfile.write(path, quiet, rate, bitrate_mode=mode, compression_level=0.1)
    data = path.read_bytes()
    samples = 1152 if rate == 44100 else 576
    second = data.index(data[:2], 4)
    path.write_bytes(data[second:])
    frames = probe(path).frames
    assert (frames + 529) % samples == 0, "less the delay of a decoder"
    assert FRAMES <= frames <= FRAMES + 4 * samples
    assert abs(len(read_audio(path)[0]) - frames) <= 2 * samples
    path.write_bytes(data[second : len(data) // 2])
    assert 0.2 * FRAMES < probe(path).frames < 0.8 * FRAMES


def test_mp3_cut_short(tmp_path: Path) -> None:
    data = coded("MP3")
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut short or damaged"):
        probe(tmp_path / "a.mp3")


@pytest.mark.parametrize("size", [100, 20 << 20])
def test_tag_of_any_size_before_the_audio(tmp_path: Path, size: int) -> None:
    seven = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    for kind in ("MP3", "FLAC"):
        path = tmp_path / f"a.{kind.lower()}"
        path.write_bytes(b"ID3\x04\0\0" + seven + bytes(size) + coded(kind))
        assert len(read_audio(path)[0]) == FRAMES
