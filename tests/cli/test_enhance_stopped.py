"""`sese enhance` interrupted, stopped and killed: nothing half-written, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import Run
from runtime.tiny_model import tone


@pytest.fixture
def long_files(tmp_path: Path) -> Path:
    """Ten files of 30 s, some tenths of a second of work each."""
    folder = tmp_path / "in"
    folder.mkdir()
    audio = np.tile(tone(16000), (30, 1))
    for name in "abcdefghij":
        soundfile.write(folder / f"{name}.wav", audio, 16000)
    return folder


def start(folder: Path, model: Path, *options: str) -> subprocess.Popen[str]:
    """Start a run in a process group of its own."""
    command = [sys.executable, "-m", "sese.cli.main", "enhance", folder, "--model", model, *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(word) for word in command], text=True, start_new_session=True, **pipes)  # type: ignore[call-overload,no-any-return]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited for 30 s"
        time.sleep(0.01)


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part.wav"))


def kill_a_writer(folder: Path) -> None:
    """Kill a process that writes a file of the folder at that moment."""

    def killed() -> bool:
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                path = link.readlink()
                if path.parent == folder and path.name.endswith(".part.wav"):
                    os.kill(int(link.parts[2]), signal.SIGKILL)
                    return True
            except OSError:  # closed meanwhile
                continue
        return False

    wait_until(killed)


def finished(folder: Path) -> list[Path]:
    return list(folder.glob("*_enhanced.wav"))


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_run_resumes(
    sese: Run, tiny: Path, long_files: Path, jobs: str, stop: signal.Signals
) -> None:
    process = start(long_files, tiny, "--jobs", jobs)
    wait_until(lambda: finished(long_files) and parts(long_files))
    if stop is signal.SIGINT:
        os.killpg(process.pid, stop)  # as Ctrl-C does
    else:
        process.send_signal(stop)
    _, err = process.communicate(timeout=30)
    if stop is not signal.SIGKILL:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[stop]
        assert parts(long_files) == []
        assert "Traceback" not in err
    elif jobs == "2":
        wait_until(lambda: not parts(long_files))  # the workers see that their parent is gone, and clean up
    before = {path: path.stat().st_mtime_ns for path in finished(long_files)}
    assert 0 < len(before) < 10
    assert all(soundfile.info(path).frames == 480000 for path in before)

    ran = sese("enhance", long_files, "--model", tiny, "--jobs", jobs)
    assert ran.code == 0
    assert f"{10 - len(before)} done, {len(before)} skipped, 0 failed" in ran.out
    assert len(finished(long_files)) == 10
    assert all(soundfile.info(path).frames == 480000 for path in finished(long_files))
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert parts(long_files) == []


def test_interrupted_file(tiny: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.tile(tone(16000), (300, 1)), 16000)
    process = start(tmp_path / "in.wav", tiny)
    wait_until(lambda: parts(tmp_path))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == ["in.wav"]


def test_worker_dies(sese: Run, tiny: Path, long_files: Path) -> None:
    process = start(long_files, tiny, "--jobs", "2")
    wait_until(lambda: finished(long_files) and parts(long_files))
    kill_a_writer(long_files)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "failed" in out
    assert all(line.startswith("sese: error: ") and "a worker died" in line for line in err.splitlines())
    assert sese("enhance", long_files, "--model", tiny).code == 0
    assert len(finished(long_files)) == 10
    assert parts(long_files) == []
