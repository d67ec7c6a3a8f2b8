"""Read recordings of phones and cameras through FFmpeg; write a video with its sound replaced."""

from __future__ import annotations

import builtins
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from cli.conftest import refused as refused  # a fixture
from command_line import Run
from sese.audio.files import probe, read_audio, read_blocks
from sese.audio.writer import open_writer
from sese.core.errors import InputError
from sese.core.install import install_command
from sese.data.corpora import scan
from sese.folders.inputs import plan_jobs

av = pytest.importorskip("av")

SECONDS = 3
PICTURES = 25 * SECONDS


def sound(rate: int, channels: int = 1) -> np.ndarray:
    """Clicks and noise, [channel, time]: a shift of a sample shows."""
    rng = np.random.default_rng(0)
    audio = 0.05 * np.convolve(rng.standard_normal(SECONDS * rate), np.ones(8) / 8, "same")
    time = np.arange(SECONDS * rate) / rate
    audio += 0.3 * np.sin(2 * np.pi * 440 * time) * np.exp(-4 * (3 * time % 1))
    return np.tile(audio.astype(np.float32), (channels, 1))


def write(
    path: Path,
    codec: str,
    rate: int,
    picture: str | None = None,
    channels: int = 1,
    begin: float = 0.0,
    hole: bool = False,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write a file as a phone does, with sound and perhaps a moving picture."""
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w") as out:
        out.metadata.update(tags or {})
        if picture:
            film = out.add_stream(picture, rate=25)
            film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        stream = out.add_stream(codec, rate=rate, layout=layout)
        if codec.startswith("wma"):
            stream.bit_rate = 96_000
        for number in range(PICTURES if picture else 0):
            image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), format="rgb24")
            image.pts, image.time_base = number, Fraction(1, 25)
            out.mux(film.encode(image))
        if picture:
            out.mux(film.encode(None))
        audio = sound(rate, channels)
        for place in range(0, audio.shape[1], rate // 10):
            if hole and rate <= place < 2 * rate:
                continue
            block = np.ascontiguousarray(audio[:, place : place + rate // 10])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = place + round(begin * rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def lag(first: np.ndarray, second: np.ndarray) -> int:
    """Return by how many samples the second comes later."""
    part = first[8000:24000, 0]
    scores = {by: float(part @ second[8000 + by : 24000 + by, 0]) for by in range(-2500, 2501)}
    return max(scores, key=lambda by: scores[by])


SOUNDS = {
    "a.m4a": ("aac", 44100, 2), "a.aac": ("aac", 16000, 1), "a.amr": ("libopencore_amrnb", 8000, 1),
    "a.wma": ("wmav2", 44100, 2), "a.webm": ("libopus", 48000, 1), "a.mp4": ("aac", 48000, 1),
    "a.mkv": ("pcm_s16le", 16000, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUNDS)
def test_sound_is_read(tmp_path: Path, name: str) -> None:
    codec, rate, channels = SOUNDS[name]
    try:
        path = write(tmp_path / name, codec, rate, channels=channels)
    except (av.FFmpegError, ValueError):
        pytest.skip(f"this FFmpeg cannot write {codec}")
    info = probe(path)
    audio, found = read_audio(path)
    assert (info.sample_rate, info.channels, found, audio.shape[1]) == (rate, channels, rate, channels)
    assert not info.video
    assert SECONDS * rate - 2048 * (codec == "wmav2") <= len(audio) <= SECONDS * rate + 6000
    assert abs(info.frames - len(audio)) < 0.05 * len(audio)
    assert 0.2 < np.abs(audio).max() < 0.6
    assert len(scan(tmp_path).speech) == 1, "a corpus takes it too"
    assert plan_jobs([path])[0].target.name == "a_enhanced.wav"
    with open_writer(tmp_path / "b.flac", info) as writer:
        for block in read_blocks(path, 5000):
            assert len(block) <= 5000
            writer.write(block)
    assert soundfile.info(tmp_path / "b.flac").frames == len(audio)


FILMS = {
    "a.mp4": ("aac", 44100, "libx264"), "a.mov": ("aac", 48000, "libx264"),
    "a.mkv": ("aac", 48000, "libx264"),
    "a.webm": ("libopus", 48000, "libvpx"),
}  # fmt: skip


def pictures(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(film.streams.video[0]) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_pictures_stay_and_the_sound_is_in_step(tmp_path: Path, name: str, begin: float) -> None:
    codec, rate, picture = FILMS[name]
    path = write(tmp_path / name, codec, rate, picture, begin=begin, tags={"title": "Straße"})
    info = probe(path)
    assert info.video
    assert plan_jobs([path])[0].target.name == "a_enhanced" + path.suffix
    for target in {tmp_path / f"b{path.suffix}", tmp_path / "b.mkv"}:
        with open_writer(target, info) as writer:
            for block in read_blocks(path, 10_000):
                writer.write(block)
        before, after = pictures(path), pictures(target)
        assert [data for _, data in after] == [data for _, data in before]
        shifts = [abs(float(a - b)) for (a, _), (b, _) in zip(before, after, strict=True)]
        assert max(shifts) < 0.001, "Matroska counts in ms"
        (first, _), (second, found) = read_audio(path), read_audio(target)
        starts = []
        for place in (path, target):
            with av.open(str(place)) as film:
                frame = next(film.decode(film.streams.audio[0]))
                starts.append(frame.pts * frame.time_base)
                assert film.metadata.get("title") == "Straße"
        assert found == rate
        assert len(first) <= len(second) <= len(first) + 1024
        later = lag(first, second) / rate + float(starts[1] - starts[0])
        assert abs(later) < (0.5 / rate if target.suffix in (".mp4", ".mov") or not begin else 0.0015)


def test_a_gap_in_the_sound_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", "pcm_s16le", 16000, "libx264", hole=True)
    audio, _ = read_audio(path)
    assert len(audio) == SECONDS * 16000
    assert not audio[16000:32000].any()
    np.testing.assert_allclose(audio[32000:, 0], sound(16000)[0, 32000:], atol=1e-4)


def test_enhance_a_video_and_a_folder(sese: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "film.mp4", "aac", 16000, "libx264")
    write(tmp_path / "in" / "voice.m4a", "aac", 16000)
    for _ in range(2):
        ran = sese("enhance", tmp_path / "in", "--model", tiny, "--jobs", 1)
        assert (ran.code, ran.err) == (0, "")
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    assert names == ["film.mp4", "film_enhanced.mp4", "voice.m4a", "voice_enhanced.wav"]
    assert len(pictures(tmp_path / "in" / "film_enhanced.mp4")) == PICTURES


def cut(data: bytes) -> bytes:
    return data[: len(data) // 3]


BAD: dict[str, tuple[str, str | None, Callable[[bytes], bytes], str]] = {
    "cut.mp4": ("aac", "libx264", cut, "cut short or damaged"),
    "cut.webm": ("libopus", "libvpx", cut, "cut short or damaged .* are there"),
    "cut.mkv": ("aac", None, cut, "cut short or damaged .* are there"),
    "locked.m4a": ("aac", None, lambda data: data.replace(b"mp4a", b"enca"), "is encrypted"),
    "text.m4a": (
        "aac",
        None,
        lambda data: b"Dear diary, nothing at all. " * 9,
        "cut short or damaged",
    ),
    "empty.m4a": ("aac", None, lambda data: b"", "is an empty file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(refused: Callable[..., str], tmp_path: Path, name: str) -> None:
    codec, picture, change, words = BAD[name]
    path = write(tmp_path / name, codec, 48000, picture)
    path.write_bytes(change(path.read_bytes()))
    assert re.search(words, refused(tmp_path, path))


def test_a_film_without_sound_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    with av.open(str(tmp_path / "mute.mp4"), "w") as out:
        film = out.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        out.mux(film.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(film.encode(None))
    assert "video without sound" in refused(tmp_path, tmp_path / "mute.mp4")


def test_a_false_duration_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", "libopus", 48000)
    data = path.read_bytes()
    place = data.index(b"\x44\x89\x88") + 3  # the element Duration, a double in ms
    path.write_bytes(data[:place] + struct.pack(">d", 3.6e6) + data[place + 8 :])
    assert "of 3600.0 s are there" in refused(tmp_path, path)


def test_a_tag_of_20_mb(sese: Run, tiny: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a.m4a", "aac", 16000, tags={"comment": "x" * (20 << 20), "title": "Talk"})
    ran = sese("enhance", path, "--model", tiny)
    assert (ran.code, ran.err) == (0, "")
    assert probe(tmp_path / "a_enhanced.wav").tags["title"] == "Talk"


def test_without_pyav(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", "aac", 16000, "libx264")
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert install_command("media") in refused(tmp_path, path)


def test_sound_cannot_become_a_video(tmp_path: Path) -> None:
    info = probe(write(tmp_path / "a.m4a", "aac", 16000))
    with pytest.raises(InputError, match="needs a video with sound; choose another output"):
        open_writer(tmp_path / "b.mp4", info).__enter__()
