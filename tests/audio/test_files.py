"""Reading audio files, and saying in one line why one cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.tiny_model import tone
from sese.audio.files import probe, read_blocks
from sese.core.errors import InputError


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path, 1000)))


def probe_and_read(path: Path) -> None:
    probe(path)
    read(path)


def refusal(path: Path) -> str:
    """The one line with which a file is refused, which names the file."""
    with pytest.raises(InputError) as caught:
        probe_and_read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert ";" in message, "a remedy follows the problem"
    return message


def test_probe(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(4800, 2, 48000), 48000, subtype="PCM_24")
    info = probe(path)
    assert (info.sample_rate, info.channels, info.frames) == (48000, 2, 4800)
    assert (info.format, info.subtype, info.duration) == ("WAV", "PCM_24", 0.1)


@pytest.mark.parametrize("block", [1, 999, 1000, 4000, 5000])
def test_blocks_make_the_whole(tmp_path: Path, block: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(4000, 2), 16000, subtype="FLOAT")
    blocks = list(read_blocks(path, block))
    assert max(map(len, blocks)) <= block
    assert blocks[0].dtype == np.float32
    np.testing.assert_allclose(np.concatenate(blocks), tone(4000, 2), atol=1e-7)


@pytest.mark.parametrize("name", ["a.mp3", "a.opus", "a.ogg", "a.flac"])
def test_blocks_of_a_coded_file_make_the_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    encoding = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    soundfile.write(path, tone(20000), 16000, **encoding)
    whole, _ = soundfile.read(path, always_2d=True)
    np.testing.assert_allclose(read(path), whole, atol=1e-6)


def test_missing(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.wav")


def test_directory(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


def test_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a regular file" in refusal(tmp_path / "pipe.wav")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert "empty file (0 bytes)" in refusal(path)


def test_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(0), 16000)
    assert "no audio (0 samples)" in refusal(path)


def test_text_named_wav(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("Dear diary, today I recorded nothing at all.\n" * 100)
    assert "not audio" in refusal(path)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.flac", "a.mp3", "a.caf", "a.ogg", "a.opus"])
def test_cut_in_the_middle(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    encoding = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 48000), 16000, **encoding)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.flac", "a.mp3", "a.ogg", "a.caf", "a.raw"])
def test_cut_in_the_header(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path.with_suffix(".wav"), tone(4000), 16000)
    data = path.with_suffix(".wav").read_bytes() if name == "a.raw" else b""
    if not data:
        soundfile.write(path, tone(4000), 16000)
        data = path.read_bytes()
    path.write_bytes(data[:20])
    assert "damaged" in refusal(path)


def test_size_unknown_to_the_program_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(4000), 16000)
    data = bytearray(path.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read(path)) == 4000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, value: float) -> None:
    path = tmp_path / "bad.wav"
    audio = tone(4000, 2)
    audio[3200, 1] = value
    soundfile.write(path, audio, 16000, subtype="FLOAT")
    message = refusal(path)
    assert f"{value} at sample 3200 (0.200 s), channel 1" in message


@pytest.mark.parametrize("rate", [4000, 384000])
def test_rate_out_of_range(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, tone(4000), rate)
    assert f"sample rate of {rate} Hz" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_not_permitted(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    soundfile.write(path, tone(4000), 16000)
    path.chmod(0)
    assert "permission" in refusal(path)
