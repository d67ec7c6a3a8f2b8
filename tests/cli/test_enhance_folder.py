"""`sese enhance DIR --out-dir DIR`: killed, gone on with, and its manifest."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from cli.test_enhance_stopped import kill_a_writer, start, wait_until
from cli.test_enhance_stopped import long_files as long_files  # a fixture
from command_line import Run
from sese.core.install import install_command


def rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "manifest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part.wav"))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_run_goes_on(sese: Run, tiny: Path, long_files: Path, tmp_path: Path, jobs: str) -> None:
    out = tmp_path / "out"
    process = start(long_files, tiny, "--out-dir", str(out), "--jobs", jobs)
    wait_until(lambda: len(rows(out)) >= 2 and parts(out))
    os.killpg(process.pid, signal.SIGKILL)  # the workers too: nothing is cleared up
    process.communicate(timeout=30)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.wav") if not path.name.startswith(".")}
    assert 2 <= len(before) < 10
    assert all(soundfile.info(path).frames == 480000 for path in before)
    assert parts(out)

    ran = sese("enhance", long_files, "--out-dir", out, "--model", tiny, "--jobs", jobs)
    assert (ran.code, ran.err) == (0, "")
    assert f"{10 - len(before)} done, {len(before)} skipped, 0 failed" in ran.out
    expected = [*(f"{name}.wav" for name in "abcdefghij"), "manifest.jsonl"]
    assert sorted(name for name in os.listdir(out) if not name.startswith(".")) == expected
    if jobs == "1":  # killed workers may stay as zombies, whose parts are left, where no init reaps them
        assert not parts(out)
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    found = rows(out)
    assert len(found) == len({row["output"] for row in found}) == 10
    assert {row["status"] for row in found} <= {"done", "skipped"}  # a row may lack that was cut off


def test_the_others_go_on_when_a_worker_dies(sese: Run, tiny: Path, long_files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(long_files, tiny, "--out-dir", str(out), "--jobs", "2")
    wait_until(lambda: rows(out) and parts(out))
    kill_a_writer(out)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    status = [row["status"] for row in rows(out)]
    assert len(status) == 10
    assert 1 <= status.count("failed") <= 3  # what was in hand, and next
    assert err.count("a worker died") == status.count("failed")
    assert sese("enhance", long_files, "--out-dir", out, "--model", tiny).code == 0
    latest = {row["output"]: row["status"] for row in rows(out)}
    assert set(latest.values()) <= {"done", "skipped"}  # a worker may die after its output has its name
    assert len(latest) == len(list(out.glob("[a-j].wav"))) == 10


def test_where_the_manifest_goes(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    noisy.rename(folder / "a.wav")
    options = ("--model", tiny, "--budget", "0.5")
    assert sese("enhance", folder, *options).code == 0
    assert sorted(os.listdir(folder)) == ["a.wav", "a_enhanced.wav"]  # none beside the inputs
    assert sese("enhance", folder / "a.wav", "--out-dir", tmp_path / "one", *options).code == 0
    assert os.listdir(tmp_path / "one") == ["a.wav"]  # nor for a file
    assert sese("enhance", folder, "--out-dir", out, *options).code == 0
    assert rows(out)[0]["utilization"] == 0.5
    assert sese("enhance", folder, "--force", *options, "--manifest", tmp_path / "deep/rows.jsonl").code == 0
    assert len((tmp_path / "deep/rows.jsonl").read_text().splitlines()) == 1

    ran = sese("enhance", folder, "--out-dir", out, "--model", tiny, "--budget", "0.25")
    assert ran.code == 2
    words = f"1 finished output was made with budget 0.5, not 0.25, such as {out / 'a.wav'}"
    assert ran.err.startswith(f"sese: error: {words}; replace it with --force, or")


def test_bad_manifest(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    ran = sese("enhance", noisy, "--model", tiny, "--manifest", tmp_path)
    assert (ran.code, ran.err) == (2, f"sese: error: --manifest {tmp_path} is a folder; name a file\n")


def test_without_ray(
    sese: Run, tiny: Path, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = sese("enhance", noisy, "--out-dir", tmp_path / "out", "--model", tiny, "--ray")
    assert (ran.code, ran.err) == (2, f"sese: error: --ray needs ray; {install_command('ray')}\n")
    ran = sese("enhance", "--ray", "head:6379", "--model", tiny)
    assert ran.code == 2
    assert "there are no inputs" in ran.err


def test_files_that_cannot_be_read_are_named(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (tmp_path / "elsewhere").mkdir()
    folder.mkdir()
    (tmp_path / "elsewhere" / "a.wav").write_bytes(noisy.read_bytes())
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("film.avi", "talk.wv", "notes.txt", "picture.jpg"):
        (folder / name).write_bytes(b"x")
    out = tmp_path / "out"
    ran = sese("enhance", folder, "--out-dir", out, "--model", tiny, "--json")
    assert ran.code == 1
    report = {Path(row["input"]).name: row["status"] for row in json.loads(ran.out)}
    assert report == {"film.avi": "failed", "talk.wv": "failed", "a.wav": "done"}
    assert "talk.wv is of a format that cannot be read" in ran.err
    assert (out / "linked" / "a.wav").exists()
