"""Samples as bytes and files, and back: what is stored comes back as exactly as its encoding holds it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.drawn import made, seeds
from sese.audio.files import FORMAT_OF, AudioInfo, probe, read_blocks
from sese.audio.writer import AtomicWriter, encoding
from sese.live.pcm import ENCODINGS
from sese.live.wav import is_wav, make_header, read_header

LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_III")
CASES = [
    (suffix, subtype)
    for suffix, kind in FORMAT_OF.items()
    if suffix not in (".wave", ".oga", ".aiff", ".aifc", ".snd")  # other names of formats that are here
    for subtype in soundfile.available_subtypes(kind)
    if (suffix, subtype) != (".wav", "MPEG_LAYER_III")  # at few rates
    and subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_S8", "PCM_U8", "ULAW", *LOSSY)
]
BYTES = ("PCM_S8", "PCM_U8", "ULAW")
STEP = {"PCM_16": 2**-15, "PCM_24": 2**-23, "PCM_32": 2**-24, "PCM_S8": 2**-7, "PCM_U8": 2**-7}

channel_counts = st.integers(1, 8)


@pytest.mark.parametrize("name", ENCODINGS)
@given(data=st.data(), channels=channel_counts, frames=st.integers(0, 50))
def test_bytes_come_back_as_they_were(name: str, data: st.DataObject, channels: int, frames: int) -> None:
    kind = ENCODINGS[name]
    size = channels * frames * kind.width
    raw = data.draw(st.binary(min_size=size, max_size=size))
    samples = kind.decode(raw, channels)
    assert samples.shape == (frames, channels)
    assert samples.dtype == np.float32
    if kind.is_float:
        assert kind.encode(samples) == (raw, 0)
        return
    again, clipped = kind.encode(samples)
    assert clipped == 0
    if kind.bits <= 24:  # all of which float32 can hold
        assert again == raw
    assert np.abs(samples).max(initial=0) <= 1
    np.testing.assert_array_equal(kind.decode(again, channels), samples)


@pytest.mark.parametrize("name", ENCODINGS)
@given(values=st.lists(st.floats(-4, 4, width=32), max_size=40))
def test_samples_come_back_to_half_a_step(name: str, values: list[float]) -> None:
    kind = ENCODINGS[name]
    samples = np.array(values, np.float32)[:, None]
    raw, clipped = kind.encode(samples)
    assert len(raw) == len(values) * kind.width
    back = kind.decode(raw, 1)
    if kind.is_float:
        np.testing.assert_array_equal(back, samples)
        return
    step = 2.0 ** (1 - kind.bits)
    beyond = (samples > 1 + step / 2) | (samples < -1 - step / 2)
    assert clipped == np.count_nonzero(beyond)
    np.testing.assert_allclose(back, np.clip(samples, -1, 1 - step), atol=step / 2 + 6e-8)


@given(
    name=st.sampled_from(list(ENCODINGS)),
    rate=st.integers(1, 768000),
    channels=st.integers(1, 64),
    junk=st.lists(st.tuples(st.sampled_from([b"LIST", b"JUNK", b"fact"]), st.binary(max_size=9)), max_size=3),
    audio=st.binary(max_size=64),
)
def test_a_header_says_what_it_was_made_of(
    name: str, rate: int, channels: int, junk: list[tuple[bytes, bytes]], audio: bytes
) -> None:
    """With whatever chunks lie before the audio; and not a byte of the audio is read."""
    header = make_header(ENCODINGS[name], rate, channels)
    data = header.write()
    extra = b"".join(k + len(b).to_bytes(4, "little") + b + b"\0" * (len(b) % 2) for k, b in junk)
    stream = io.BytesIO(data[:12] + extra + data[12:] + audio)
    start = stream.read(12)
    assert is_wav(start)
    found = read_header(start, stream.read)
    assert (found.encoding, found.sample_rate, found.channels) == (ENCODINGS[name], rate, channels)
    assert found.length is None
    assert stream.read() == audio


@pytest.mark.parametrize(("suffix", "subtype"), CASES, ids=["".join(case) for case in CASES])
@settings(max_examples=max(2, settings().max_examples // 6))
@given(data=st.data(), seed=seeds, channels=st.integers(1, 4), block=st.integers(1, 3000))
def test_files_come_back(
    suffix: str, subtype: str, data: st.DataObject, seed: int, channels: int, block: int
) -> None:
    rate = data.draw(st.sampled_from([8000, 16000, 48000]), "rate")
    if subtype not in ("OPUS", "MPEG_LAYER_III") and suffix not in (".voc", ".flac"):
        rate = data.draw(st.integers(8000, 192000), "any rate")
    if suffix == ".voc":
        rate = 8000  # which its byte for the rate can say
    if suffix in (".mp3", ".voc"):
        channels = min(channels, 2)
    time = data.draw(st.integers(1, 5000), "time")
    kind = FORMAT_OF[suffix]
    signal = made("noise", seed, channels, time).T
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        like = AudioInfo(path, rate, channels, time, kind, subtype)
        assert encoding(path, like) == (kind, subtype)
        with AtomicWriter(path, like) as writer:
            for start in range(0, time, block):
                writer.write(signal[start : start + block])
        assert writer.clipped_samples == 0
        assert [file.name for file in Path(folder).iterdir()] == [path.name]
        info = probe(path)
        assert (info.sample_rate, info.channels, info.subtype) == (rate, channels, subtype)
        back = np.concatenate(list(read_blocks(path, data.draw(st.integers(100, 9000), "read"))))
    if subtype in LOSSY:
        assert back.shape[1] == channels
        assert len(back) == time or subtype == "MPEG_LAYER_III"
        return
    if suffix in (".aif", ".voc") and subtype in BYTES and len(back) <= time + 2:
        back = back[
            :time
        ]  # libsndfile takes bytes behind an odd count of them, or the last block, for samples
    assert back.shape == signal.shape
    if subtype == "ULAW":
        np.testing.assert_allclose(back, signal, atol=0.03)
    elif subtype in STEP:
        np.testing.assert_allclose(back, signal, atol=1.01 * STEP[subtype])
    else:
        np.testing.assert_array_equal(back, signal)
