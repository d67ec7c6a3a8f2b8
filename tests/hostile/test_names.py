"""Names of files and models, and things that are no files, through the command itself."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.core.errors import InputError
from sese.runtime.artefact import find_model

MODEL = "nsnet2-dynamic"
NAMES = (
    b"plain.wav",
    b"-o.wav",
    b"--force.wav",
    b"new\nline\r.wav",
    b"\x1b]0;owned\x07\x1b[31m[bold].wav",
    b"\xff\xfe.wav",
    "\u202egnp.wav".encode(),
    b"%s{0}$(id)`id`;.wav",
    b"x" * 251 + b".wav",
)


def _sese(*words: object, folder: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sese.cli.main", *(os.fsencode(str(word)) for word in words)]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a file of each name, and what is no file."""
    inside = tmp_path / "in"
    inside.mkdir()
    for name in NAMES:
        with open(os.path.join(os.fsencode(inside), name), "wb") as file:
            soundfile.write(file, np.full(800, 0.1), 16000, format="WAV")
    os.mkfifo(inside / "pipe.wav")
    (inside / "folder.wav").mkdir()
    (inside / "zero.wav").symlink_to("/dev/zero")
    (inside / "dangling.wav").symlink_to("nothing")
    (inside / "loop.wav").symlink_to("loop.wav")
    (inside / "up.wav").symlink_to("..", target_is_directory=True)
    return tmp_path


def test_a_folder_of_names(folder: Path):
    """Every file is done, whatever is none is told of, and nothing else is written or said to a terminal."""
    before = sorted(folder.iterdir())
    done = _sese("enhance", "in", "--out-dir", "in/made", "--model", MODEL, "--jobs", 1, folder=folder)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert not set(done.stdout + done.stderr) & {*range(10), *range(11, 32), 127}
    assert len(done.stderr.splitlines()) == 4, "the pipe, /dev/zero, the dangling link and the loop"
    made = {name for name in os.listdir(os.fsencode(folder / "in" / "made")) if name.endswith(b".wav")}
    assert made == set(NAMES)
    assert sorted(folder.iterdir()) == before
    rows = [json.loads(row) for row in (folder / "in" / "made" / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == len(NAMES) + 4
    again = _sese("enhance", "in", "--out-dir", "in/made", "--model", MODEL, "--jobs", 1, folder=folder)
    assert b"9 skipped" in again.stdout


def test_a_terminal_hears_no_name(folder: Path):
    """A name that is an order to a terminal, and wrong as markup, on a terminal."""
    main, other = pty.openpty()
    name = os.path.join(b"in", NAMES[4])
    words = [sys.executable, "-m", "sese.cli.main", "enhance", name, "-o", "out.wav", "--model", MODEL]
    with subprocess.Popen(words, cwd=folder, stdout=other, stderr=other) as process:
        os.close(other)
        told = b""
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:
                break
            if not part:
                break
            told += part
    os.close(main)
    assert process.returncode == 0, told
    assert b"owned" in told
    assert not re.search(rb"\x1b\]|\x07", told), "the name, as it is"


@pytest.mark.parametrize(
    "name", ["../../x", "x" * 300, "/dev/zero", "/dev/null", "a\0b", "\udcff", ".", "\x1b[31m"]
)
def test_names_of_no_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        find_model(name)


def test_a_model_folder_of_links(tmp_path: Path):
    """Links are how caches of models lay their files: one is followed, and what it names is read as ONNX."""
    (tmp_path / "secret").write_text("secret words")
    (tmp_path / "model.onnx").symlink_to("secret")
    done = _sese("models", "show", tmp_path, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"words" not in done.stderr
