"""Corpora behind URLs, by fsspec: in memory, and in a folder that is given as a URL."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile

from command_line import Run
from runtime.tiny_model import GAINS, tone
from sese.core import files as atomic
from sese.core.errors import InputError
from sese.folders.places import as_place, deliver, filesystem, name_of

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: extra remote")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Any]:
    """A file system in memory with a corpus in ``/in``."""
    fs = fsspec.filesystem("memory")
    soundfile.write(tmp_path / "a.wav", tone(1600), 16000)
    for name in ("/in/a.wav", "/in/deep/b.wav", "/in/.hidden/c.wav"):
        fs.put_file(str(tmp_path / "a.wav"), name)
    fs.pipe_file("/in/text.wav", b"not audio")
    fs.pipe_file("/in/notes.txt", b"not audio")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def test_from_url_to_url(sese: Run, memory: Any, tiny: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    command = ("enhance", "memory://in", "--out-dir", "memory://out", "--model", tiny, "--budget", "0.5")
    ran = sese(*command, "--jobs", "1", "--manifest", rows, "--json")
    assert ran.code == 1
    assert [outcome["status"] for outcome in json.loads(ran.out)] == ["done", "done", "failed"]
    assert "memory://in/text.wav is damaged or not audio" in ran.err
    assert sorted(memory.find("/out")) == ["/out/a.wav", "/out/deep/b.wav"]
    memory.get_file("/out/deep/b.wav", str(tmp_path / "b.wav"))
    written, _ = soundfile.read(tmp_path / "b.wav", always_2d=True)
    np.testing.assert_allclose(written, GAINS[2] * tone(1600), atol=1e-4)
    first = json.loads(rows.read_text().splitlines()[0])
    assert (first["input"], first["output"]) == ("memory://in/a.wav", "memory://out/a.wav")

    again = sese(*command, "--jobs", "1", "--manifest", rows)
    assert "0 done, 2 skipped, 1 failed" in again.out
    assert len(rows.read_text().splitlines()) == 4


def test_from_url_to_folder_and_back(sese: Run, memory: Any, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sese("enhance", "memory://in/deep", "--out-dir", out, "--model", tiny).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["b.wav", "manifest.jsonl"]
    assert sese("enhance", out / "b.wav", "--out-dir", "memory://there", "--model", tiny).code == 0
    assert memory.find("/there") == ["/there/b.wav"]
    assert sese("enhance", "memory://there/b.wav", "--out-dir", out.as_uri(), "--model", tiny).code == 0


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Address of a web server with a corpus."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install 'sese[remote]'")
    (tmp_path / "web" / "deep").mkdir(parents=True)
    for name in ("a b.wav", "deep/c.wav"):
        soundfile.write(tmp_path / "web" / name, tone(1600), 16000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "web"))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_from_the_web(sese: Run, web: str, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for url in (f"{web}/a%20b.wav?key=1/2", f"{web}/deep/"):
        ran = sese("enhance", url, "--out-dir", out, "--model", tiny, "--budget", "0.5")
        assert (ran.code, ran.err) == (0, "")
    assert sorted(path.name for path in out.glob("*.wav")) == ["a b.wav", "c.wav"]
    written, _ = soundfile.read(out / "a b.wav", always_2d=True)
    np.testing.assert_allclose(written, GAINS[2] * tone(1600), atol=1e-4)

    ran = sese("enhance", f"{web}/none.wav", "--out-dir", out, "--model", tiny)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"{web}/none.wav does not exist" in ran.err


def test_without_fsspec(sese: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    ran = sese("enhance", "memory://in", "--out-dir", tmp_path / "out", "--model", tiny)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "memory://in needs fsspec; run" in ran.err
    assert '[remote]"' in ran.err
    soundfile.write(tmp_path / "a.wav", tone(1600), 16000)
    assert sese("enhance", tmp_path / "a.wav", "--out-dir", tmp_path / "out", "--model", tiny).code == 0


def test_names_of_places() -> None:
    assert name_of("s3://bucket/a%20b.wav?1") == "a%20b.wav?1"
    assert name_of("https://host/in/a%20b.wav?key=1/2.txt#part") == "a b.wav"
    assert name_of("https://host/%2e%2e%2fa.wav") == "a.wav"
    assert name_of("https://host/a%00.wav") == "a%00.wav"
    assert name_of(Path("in/a.wav")) == "a.wav"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("memory://in",), "outputs cannot be written beside memory://in"),
        (("memory://in/a.wav", "-o", "a.wav"), "use --out-dir"),
        (("memory://none", "--out-dir", "out"), "without audio files"),
        (("memory://none/a.wav", "--out-dir", "memory://out"), "memory://none/a.wav does not exist"),
        (("memory://in/a.wav", "--out-dir", "memory://in"), "written over the input"),
        (("memory://in", "--out-dir", "memory://in"), "is the output folder itself"),
        (("nothing://in", "--out-dir", "out"), "nothing://in cannot be opened"),
    ],
)
def test_bad_urls(
    sese: Run,
    memory: Any,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = sese("enhance", *words, "--model", tiny)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_delivery_appears_whole_and_clears_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = tmp_path / "local.wav"
    local.write_bytes(b"new")
    target = tmp_path / "out" / "a.wav"
    target.parent.mkdir()
    target.write_bytes(b"old")
    (target.parent / ".a.123.part.wav").write_bytes(b"left by a killed worker")
    (target.parent / ".ab.123.part.wav").write_bytes(b"of another file")
    fs, _ = filesystem(target)

    def full(*_: object) -> None:
        (target.parent / ".a.99.part.wav").write_bytes(b"ha")
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(type(fs), "mv", full)
        with pytest.raises(InputError, match="No space left"):
            deliver(local, target)
    assert target.read_bytes() == b"old"
    deliver(local, target)
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in target.parent.iterdir()) == [".ab.123.part.wav", "a.wav"]


def test_a_large_folder_is_listed_once(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_LARGE", 4)
    monkeypatch.setattr(atomic, "_listed", {})
    (tmp_path / "local.wav").write_bytes(b"new")
    for name in ("a", "b", "c", "d"):
        memory.pipe_file(f"/large/.{name}.1.part.wav", b"left")
    listed = []
    real = type(memory).ls
    monkeypatch.setattr(type(memory), "ls", lambda *a, **k: listed.append(a[1]) or real(*a, **k))
    for name in ("a", "b", "a"):
        deliver(tmp_path / "local.wav", f"memory://large/{name}.wav")
    assert listed.count("/large") == 1
    assert sorted(memory.find("/large")) == [
        "/large/.c.1.part.wav", "/large/.d.1.part.wav", "/large/a.wav", "/large/b.wav"
    ]  # fmt: skip


def test_file_urls_are_paths(tmp_path: Path) -> None:
    assert as_place((tmp_path / "a b.wav").as_uri()) == tmp_path / "a b.wav"
    assert as_place("in/a.wav") == Path("in/a.wav")
    assert as_place("file://localhost/in/a.wav") == Path("/in/a.wav")
    assert as_place("take::1.wav") == Path("take::1.wav")
    assert as_place("s3://bucket/in/") == "s3://bucket/in"
    assert as_place("zip::s3://bucket/in.zip") == "zip::s3://bucket/in.zip"


@pytest.mark.parametrize("text", ["", "file://otherhost/in/a.wav", "file://", "file://[/a.wav"])
def test_no_places(sese: Run, tiny: Path, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1600), 16000)
    monkeypatch.chdir(tmp_path)
    for words in ((text,), ("a.wav", "--out-dir", text)):
        ran = sese("enhance", *words, "--model", tiny)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert text in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
