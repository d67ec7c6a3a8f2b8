"""Writing audio files: like the input, and whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.tiny_model import tone
from sese.audio import writer
from sese.audio.files import probe, read_blocks
from sese.audio.writer import AtomicWriter
from sese.core import files as atomic
from sese.core.errors import InputError

KEPT = [
    *[("wav", "WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")],
    *[("wav", "WAV", s) for s in ("IMA_ADPCM", "MS_ADPCM", "GSM610")],
    *[("flac", "FLAC", s) for s in ("PCM_S8", "PCM_16", "PCM_24")],
    *[("aiff", "AIFF", s) for s in ("PCM_S8", "PCM_24", "DOUBLE")],
    *[("caf", "CAF", s) for s in ("PCM_16", "ALAC_16", "FLOAT")],
    ("wav", "WAVEX", "PCM_24"),
    ("w64", "W64", "PCM_16"),
    ("rf64", "RF64", "PCM_16"),
    ("au", "AU", "ULAW"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]


def copy(source: Path, target: Path) -> AtomicWriter:
    with AtomicWriter(target, probe(source)) as writer:
        for block in read_blocks(source, 1000):
            writer.write(block)
    return writer


def make(path: Path, **changes: object) -> Path:
    soundfile.write(path, tone(4000), 16000, **changes)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(("extension", "kind", "subtype"), KEPT)
def test_format_subtype_length_kept(tmp_path: Path, extension: str, kind: str, subtype: str) -> None:
    source = make(tmp_path / f"in.{extension}", format=kind, subtype=subtype)
    copy(source, tmp_path / f"out.{extension}")
    before, after = probe(source), probe(tmp_path / f"out.{extension}")
    assert after == replace(before, path=after.path, bit_rate=after.bit_rate)
    first, second = (np.concatenate(list(read_blocks(info.path, 4000))) for info in (before, after))
    assert np.linalg.norm(first - second) < 0.2 * np.linalg.norm(first)  # some lose a little each time


def test_tags_kept(tmp_path: Path) -> None:
    source = tmp_path / "in.flac"
    with soundfile.SoundFile(source, "w", 16000, 1) as file:
        file.title, file.artist = "Street", "Me"
        file.write(tone(4000))
    copy(source, tmp_path / "out.flac")
    tags = probe(tmp_path / "out.flac").tags
    assert (tags["title"], tags["artist"]) == ("Street", "Me")


def test_other_extension_other_format(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav", subtype="PCM_24")
    copy(source, tmp_path / "out.flac")
    assert (probe(tmp_path / "out.flac").format, probe(tmp_path / "out.flac").subtype) == ("FLAC", "PCM_24")
    copy(source, tmp_path / "out.ogg")
    assert probe(tmp_path / "out.ogg").subtype == "VORBIS"
    copy(source, tmp_path / "out.opus")
    assert probe(tmp_path / "out.opus").subtype == "OPUS"


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "W64"])
def test_the_name_of_an_output_tells_its_format(kind: str, tmp_path: Path) -> None:
    """Also where the name of the input does not."""
    source = make(tmp_path / "in.wav")
    soundfile.write(source, tone(4000), 16000, format=kind)
    copy(source, tmp_path / "out.wav")
    assert probe(tmp_path / "out.wav").format == "WAV"


@pytest.mark.parametrize(
    ("source", "subtype", "target", "written"),
    [
        ("in.mp3", "MPEG_LAYER_III", "out.wav", "PCM_16"),  # libsndfile says that it can, and cannot
        ("in.w64", "MS_ADPCM", "out.wav", "PCM_16"),
        ("in.aiff", "DWVW_16", "out.wav", "PCM_16"),
        ("in.au", "ULAW", "out.wav", "ULAW"),
        ("in.caf", "FLOAT", "out.aiff", "FLOAT"),
    ],
)
def test_subtype_in_another_format(
    tmp_path: Path, source: str, subtype: str, target: str, written: str
) -> None:
    before = probe(make(tmp_path / source, subtype=subtype))
    copy(before.path, tmp_path / target)
    after = probe(tmp_path / target)
    assert (after.subtype, after.frames) == (written, before.frames)


def test_what_cannot_be_written_is_not_recommended(tmp_path: Path) -> None:
    info = replace(probe(make(tmp_path / "in.wav")), subtype="MPEG_LAYER_III")
    with pytest.raises(InputError, match=r"such as out\.flac"), AtomicWriter(tmp_path / "out.wav", info):
        pass


@pytest.mark.parametrize(("subtype", "clipped"), [("PCM_16", 3), ("PCM_U8", 3), ("FLOAT", 0), ("DOUBLE", 0)])
def test_clipping_is_counted(tmp_path: Path, subtype: str, clipped: int) -> None:
    source = make(tmp_path / "in.wav", subtype=subtype)
    block = np.array([[0.5], [1.5], [-2.0], [1.0], [-1.0], [1.01]], np.float32)
    with AtomicWriter(tmp_path / "out.wav", probe(source)) as writer:
        writer.write(block)
    assert writer.clipped_samples == clipped
    written, _ = soundfile.read(tmp_path / "out.wav", always_2d=True)
    np.testing.assert_allclose(written, np.clip(block, -1, 1) if clipped else block, atol=0.01)


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_left_after_an_error(tmp_path: Path, stop: type[BaseException]) -> None:
    info = probe(make(tmp_path / "in.wav"))

    def write_and_stop() -> None:
        with AtomicWriter(tmp_path / "out.wav", info) as writer:
            writer.write(np.zeros((100, 1), np.float32))
            assert list(tmp_path.glob(".out.*.part.wav"))
            raise stop

    with pytest.raises(stop):
        write_and_stop()
    assert os.listdir(tmp_path) == ["in.wav"]


def test_leftover_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav")
    write = (
        "import sys, time; from pathlib import Path; from sese.core.files import Part;"
        "print(Part(Path(sys.argv[1])).path, flush=True); time.sleep(60)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", write, str(tmp_path / "out.wav")], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    parts = [Path(process.stdout.readline().decode().strip()) for process in writers]  # type: ignore[union-attr]
    assert all(part.exists() for part in parts), "two that write the same leave each other's alone"
    writers[0].kill()
    # Not waited for: a process that ended and that nobody asked for holds nothing any more.
    os.waitid(os.P_PID, writers[0].pid, os.WEXITED | os.WNOWAIT)
    another = tmp_path / ".outing.1.part.wav"
    another.touch()
    copy(source, tmp_path / "out.wav")
    assert [part.exists() for part in parts] == [False, True]
    assert another.exists(), "of another file"
    writers[1].kill()
    for process in writers:
        process.communicate()


def test_large_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the leftovers that were seen then are removed, each with its file."""
    monkeypatch.setattr(atomic, "_LARGE", 3)
    source = make(tmp_path / "in.wav")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("a", "b", "c"):
        (out / f".{name}.1.part.wav").touch()
    listed = []
    monkeypatch.setattr(os, "listdir", lambda path, real=os.listdir: listed.append(path) or real(path))
    for name in ("a", "d", "b", "d", "a"):
        copy(source, out / f"{name}.wav")
    assert len(listed) == 1
    assert sorted(os.listdir(out)) == [".c.1.part.wav", "a.wav", "b.wav", "d.wav"]


def test_written_through_a_link(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav")
    (tmp_path / "there").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "there" / "out.wav")
    copy(source, tmp_path / "link.wav")
    assert (tmp_path / "link.wav").is_symlink()
    assert probe(tmp_path / "there" / "out.wav").frames == 4000


def refusal(source: Path, target: Path) -> str:
    before = sorted(os.listdir(source.parent))
    with pytest.raises(InputError) as caught:
        copy(source, target)
    message = str(caught.value)
    assert target.name in message
    assert "\n" not in message
    assert ";" in message, "a remedy follows the problem"
    assert sorted(os.listdir(source.parent)) == before
    return message


def test_folder_is_made(tmp_path: Path) -> None:
    copy(make(tmp_path / "in.wav"), tmp_path / "new" / "er" / "out.wav")
    assert (tmp_path / "new" / "er" / "out.wav").exists()


def test_parent_is_a_file(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav")
    assert "cannot be created" in refusal(source, source / "out.wav")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_not_permitted(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav")
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "permission" in refusal(source, tmp_path / "locked" / "out.wav")


def test_unknown_extension(tmp_path: Path) -> None:
    assert "'.xyz'" in refusal(make(tmp_path / "in.wav"), tmp_path / "out.xyz")


def test_readable_but_not_writable(tmp_path: Path) -> None:
    source = make(tmp_path / "in.wav")
    info = replace(probe(source), path=tmp_path / "in.mp3", format="MP3", subtype="MPEG_LAYER_II")
    with pytest.raises(InputError, match=r"MPEG_LAYER_II.*out\.wav") as caught:
        AtomicWriter(tmp_path / "out.mp3", info).__enter__()
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["in.wav"]


def test_rate_or_channels_unknown_to_the_format(tmp_path: Path) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, tone(4000, 6), 96000)
    assert "6 channel(s) at 96000 Hz" in refusal(source, tmp_path / "out.mp3")


@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out.ogg", "out.opus", "out.mp3", "out.aiff"])
def test_disk_full(tmp_path: Path, name: str) -> None:
    """A limit on the size of files stands in for a full disk."""
    soundfile.write(tmp_path / "in.wav", np.random.default_rng(0).normal(0, 0.1, 480000), 48000)
    code = f"""
import resource, signal
from pathlib import Path
from sese.audio import writer
from sese.audio.files import probe, read_blocks
from sese.audio.writer import AtomicWriter
from sese.core.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
try:
    with AtomicWriter({str(tmp_path / name)!r}, probe({str(tmp_path / "in.wav")!r})) as writer:
        for block in read_blocks({str(tmp_path / "in.wav")!r}, 48000):
            writer.write(block)
except InputError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "disk full" in ran.stdout, ran
    assert name in ran.stdout
    assert ran.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == ["in.wav"]


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels", "level"),
    [
        ("a.mp3", "MPEG_LAYER_III", 44100, 2, 0.0),
        ("a.mp3", "MPEG_LAYER_III", 44100, 1, 0.9),
        ("a.mp3", "MPEG_LAYER_III", 16000, 1, 0.5),
        ("a.opus", "OPUS", 48000, 1, 0.768),  # 64 kbit/s
        ("a.opus", "OPUS", 48000, 2, 0.1),
        ("a.ogg", "VORBIS", 44100, 2, 0.1),
        ("a.ogg", "VORBIS", 16000, 1, 0.9),
    ],
)
def test_bit_rate_kept(
    tmp_path: Path, name: str, subtype: str, rate: int, channels: int, level: float
) -> None:
    kind = "MP3" if name == "a.mp3" else "OGG"
    audio = np.random.default_rng(0).normal(0, 0.1, (10 * rate, channels))
    soundfile.write(tmp_path / name, audio, rate, subtype, format=kind, compression_level=level)
    copy(tmp_path / name, tmp_path / f"b{name[1:]}")
    before, after = (path.stat().st_size for path in (tmp_path / name, tmp_path / f"b{name[1:]}"))
    assert after == pytest.approx(before, rel=0.15)


@pytest.mark.parametrize("rate", [11025, 22050, 44100, 96000])
def test_opus_of_other_rates_is_resampled(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "in.wav", tone(rate, 2, rate), rate)
    copy(tmp_path / "in.wav", tmp_path / "out.opus")
    info = probe(tmp_path / "out.opus")
    assert info.duration == pytest.approx(1.0, abs=1e-3)
    assert info.sample_rate in (12000, 24000, 48000)


@pytest.mark.parametrize("name", ["in.wav", "in.flac"])
def test_output_that_is_too_large_for_wav(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path / name)
    monkeypatch.setattr(writer, "LIMIT", 7999)
    copy(source, tmp_path / "out.wav")
    info = probe(tmp_path / "out.wav")
    assert (info.format, info.subtype, info.frames) == ("RF64", "PCM_16", 4000)
    assert "larger than 4 GiB" in refusal(source, tmp_path / "out.aiff")
    monkeypatch.setattr(writer, "LIMIT", 8000)
    copy(source, tmp_path / "b.wav")
    assert probe(tmp_path / "b.wav").format == "WAV"
