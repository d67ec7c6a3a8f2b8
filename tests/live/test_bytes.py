"""Encodings and WAV headers against libsndfile's."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from sese.core.errors import InputError
from sese.live.pcm import ENCODINGS
from sese.live.wav import Trailer, is_wav, make_header, read_header

SUBTYPES = {"s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT"}


def noise(frames: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (frames, channels)).astype(np.float32)


@pytest.mark.parametrize("name", ENCODINGS)
def test_decodes_as_libsndfile_and_encodes_back(name: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, noise(1000, 3), 48000, SUBTYPES[name], format="WAVEX")
    file.seek(0)
    want, _ = soundfile.read(file, dtype="float32")
    stream = io.BytesIO(file.getvalue())
    start = stream.read(12)
    assert is_wav(start)
    header = read_header(start, stream.read)
    assert (header.encoding.name, header.sample_rate, header.channels) == (name, 48000, 3)
    data = stream.read(header.length)
    samples = header.encoding.decode(data, 3)
    np.testing.assert_allclose(samples, want, atol=1e-7)
    again, clipped = header.encoding.encode(samples)
    assert clipped == 0
    if name == "s32le":  # float32 has 24 bits
        assert np.abs(np.frombuffer(again, "<i4").astype(float) - np.frombuffer(data, "<i4")).max() <= 128
    else:
        assert again == data


@pytest.mark.parametrize("name", ENCODINGS)
def test_header_of_unknown_length(name: str) -> None:
    audio = noise(777, 2)
    data, _ = ENCODINGS[name].encode(audio)
    file = make_header(ENCODINGS[name], 44100, 2).write() + data
    got, rate = soundfile.read(io.BytesIO(file), dtype="float32")
    assert rate == 44100
    np.testing.assert_allclose(got, audio, atol=1 / 32768)
    stream = io.BytesIO(file)
    assert read_header(stream.read(12), stream.read).length is None


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
@pytest.mark.parametrize("before", [b"", b"axml" + struct.pack("<I", 3 << 20) + bytes(3 << 20)])
def test_rf64(kind: bytes, before: bytes) -> None:
    file = io.BytesIO()
    soundfile.write(file, noise(100, 1), 16000, "PCM_16", format="RF64")
    data = bytearray(file.getvalue())
    data[:4] = kind
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff" * 4
    data[place - 4 : place - 4] = before
    assert b"ds64" in data
    struct.pack_into("<Q", data, data.index(b"ds64") + 16, 200)
    stream = io.BytesIO(bytes(data))
    assert read_header(stream.read(12), stream.read).length == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"LIST" + struct.pack("<I", 1 << 30), "ended within"),
        (b"data" + struct.pack("<I", 100), "without a format"),
        (b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, 16000, 0, 3, 16), "ended within"),
        (
            b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, 16000, 0, 3, 16) + b"data\0\0\0\0",
            "2 channels of 16 bits in 3",
        ),
        (b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, 16000, 0, 0, 16) + b"data\0\0\0\0", "0 channels"),
        (b"fmt " + struct.pack("<IHHIIHH", 16, 3, 1, 16000, 0, 8, 64) + b"data\0\0\0\0", "64 bits"),
        (b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 0, 1, 8) + b"data\0\0\0\0", "8 bits"),
    ],
)
def test_damaged_headers(body: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_header(b"RIFF\0\0\0\0WAVE", io.BytesIO(body).read)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_chunks_after_the_audio_in_any_pieces(size: int) -> None:
    parts = [(b"cue ", 28), (b"JUNK", 100), (b"LIST", 7), (b"\xff\0ab", 4), (b"bext", 2)]
    data = b"\0"  # the audio has an odd number of bytes
    for name, length in parts:
        data += name + struct.pack("<I", length) + bytes(length + length % 2)
    trailer = Trailer(odd=True)
    for start in range(0, len(data), size):
        trailer.feed(data[start : start + size])
    assert trailer.titles == ["markers", "LIST"]  # no chunk can be found behind bytes that are none
