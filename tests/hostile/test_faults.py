"""Let the surroundings of a command fail: disk, folders, input, workers, terminal, user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import kills
import numpy as np
import pytest
import soundfile

from sese.audio.files import probe
from sese.audio.writer import AtomicWriter
from sese.core.errors import InputError
from sese.evaluation.parallel import parallel

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, limits and mounts")
MODEL = ("--model", kills.MODEL)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(kills.ROOT / "src"), "OMP_NUM_THREADS": "1"}
SESE = (sys.executable, "-m", "sese.cli.main")


def sese(folder: Path, *words: object, before: tuple[str, ...] = (), **options: object):
    """Run the command line in a process of its own."""
    command = [*before, *SESE, *map(str, words)]
    settings = {"cwd": folder, "env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 120}
    return subprocess.run(command, **(settings | options))  # type: ignore[call-overload]


def told(ran: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """It ended with this code and one line, which says what and what to do."""
    assert ran.returncode == code, ran
    assert ran.stderr.startswith("sese: error: "), ran
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert ";" in ran.stderr, "a remedy follows the problem"
    for word in words:
        assert word in ran.stderr


def hidden(folder: Path) -> list[Path]:
    return list(folder.rglob(".*"))


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Ten seconds of noise, 320 kB."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(160000)
    soundfile.write(tmp_path / "noisy.wav", noise, 16000)
    return tmp_path / "noisy.wav"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_disk_full_while_a_file_is_enhanced(noisy: Path, small_disk: Path) -> None:
    (small_disk / "before").write_text("stays")
    ran = sese(noisy.parent, "enhance", noisy, "-o", small_disk / "out.wav", *MODEL)
    told(ran, 2, "out.wav", "free some disk space")
    assert os.listdir(small_disk) == ["before"]


def test_disk_full_while_a_model_is_saved(small_disk: Path) -> None:
    from sese.nn import checkpoint
    from sese.nn.backbones.nsnet2 import NsNet2Config
    from sese.training.run_folder import write_checkpoint

    small = NsNet2Config(hidden=8, wide=12, exits=("fc3",))
    checkpoint.save(small_disk / "model", "nsnet2", small, small.build().state_dict())
    held = (small_disk / "model" / "model.safetensors").read_bytes()
    large = NsNet2Config(hidden=400)
    with pytest.raises(InputError, match=r"model\.safetensors cannot be written"):
        checkpoint.save(small_disk / "model", "nsnet2", large, large.build().state_dict())
    with pytest.raises(InputError, match=r"last\.ckpt cannot be written"):
        write_checkpoint(small_disk, {"weights": large.build().state_dict()})
    assert (small_disk / "model" / "model.safetensors").read_bytes() == held
    assert not hidden(small_disk)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "export", "adapt", "mix"])
def test_disk_full_while_a_job_runs(name: str, tmp_path: Path) -> None:
    """At some size of files each of its files is too large once."""
    job = kills.JOBS[name]
    for limit in (2, 20, 60, 200):  # KiB
        folder = tmp_path / str(limit)
        folder.mkdir()
        job.prepare(folder)
        limited = ("prlimit", f"--fsize={limit * 1024}", "--")
        if shutil.which(limited[0]) is None:
            pytest.skip("needs prlimit")
        ran = sese(folder, *job.words(folder), before=limited)
        assert ran.returncode in (0, 2), ran
        assert "Traceback" not in ran.stderr, ran.stderr
        assert ran.returncode == 0 or "cannot be written" in ran.stderr, ran.stderr
        assert not [path for path in folder.rglob(".*") if ".part" in path.name]
        assert ran.returncode == 0 or kills.run(job, folder) == 0, kills.log(folder)
        assert job.results(folder)


def test_read_only_folder(noisy: Path, tmp_path: Path) -> None:
    place = tmp_path / "locked"
    place.mkdir()
    if subprocess.run(["mount", "--bind", place, place], capture_output=True, check=False).returncode:
        pytest.skip("may not mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        told(
            sese(tmp_path, "enhance", noisy, "-o", place / "a.wav", *MODEL), 2, "Read-only", "another folder"
        )
        told(sese(tmp_path, "enhance", noisy, "--out-dir", place / "new", *MODEL), 2, "Read-only")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root, and setpriv",
)
def test_without_permission(noisy: Path, tmp_path: Path) -> None:
    """As a user who may read but not write there."""
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    noisy.chmod(0o644)
    seen = subprocess.run(
        [*nobody, sys.executable, "-c", "import sese.cli.main"], env=ENVIRONMENT, check=False
    )
    if seen.returncode:
        pytest.skip("another user cannot read this installation")
    ran = sese(tmp_path, "enhance", noisy, "-o", tmp_path / "out.wav", *MODEL, before=nobody)
    told(ran, 2, "Permission denied", "permissions")
    assert not (tmp_path / "out.wav").exists()


def test_input_that_vanishes_or_is_cut_while_it_is_read(tmp_path: Path) -> None:
    """One of three is gone when its turn comes, one is cut short meanwhile: the third is done."""
    from sese.folders.inputs import plan_jobs
    from sese.folders.job import RunOptions
    from sese.folders.jobs import run_jobs

    (tmp_path / "in").mkdir()
    for name in "abc":
        soundfile.write(tmp_path / "in" / f"{name}.wav", np.zeros((16000 * 40, 1)), 16000)
    jobs = plan_jobs([tmp_path / "in"], None, tmp_path / "out", False)
    (tmp_path / "in" / "a.wav").unlink()

    def cut(seconds: float) -> None:
        os.truncate(tmp_path / "in" / "b.wav", 100000)

    outcomes = {
        outcome.job.source.name: outcome  # type: ignore[union-attr]
        for outcome in run_jobs(jobs, RunOptions(kills.MODEL), 1, cut)
    }
    assert [outcomes[f"{name}.wav"].status for name in "abc"] == ["failed", "failed", "done"]
    assert "a.wav does not exist" in str(outcomes["a.wav"].error)
    assert "b.wav is cut short" in str(outcomes["b.wav"].error)
    assert sorted(os.listdir(tmp_path / "out")) == ["c.wav"]


def test_output_folder_that_is_removed_meanwhile(noisy: Path, tmp_path: Path) -> None:
    info = probe(noisy)

    def write() -> None:
        with AtomicWriter(tmp_path / "out" / "a.wav", info) as writer:
            writer.write(np.zeros((100, 1), np.float32))
            shutil.rmtree(tmp_path / "out")
            writer.write(np.zeros((100, 1), np.float32))

    with pytest.raises(InputError, match=r"a\.wav could not be written to its end"):
        write()
    assert not (tmp_path / "out").exists()


def test_a_recording_whose_recorder_was_stopped(noisy: Path) -> None:
    """Its header says that it holds nothing: what is there is read, as a file and as a stream."""
    frames = probe(noisy).frames
    header = bytearray(noisy.read_bytes())
    header[40:44] = bytes(4)
    noisy.write_bytes(header)
    assert probe(noisy).frames == frames > 0
    with noisy.open("rb") as source:
        ran = sese(noisy.parent, "stream", *MODEL, stdin=source, text=False)
    assert ran.returncode == 0
    assert len(ran.stdout) >= 320000


def idle(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(stop: signal.Signals, tmp_path: Path) -> None:
    """At once and with no more than a line, however it ends."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from sese.evaluation.parallel import parallel\n"
        "from sese.core.stopping import stop_when_told\n"
        "from test_faults import idle\n"
        "if __name__ == '__main__':\n"
        "    stop_when_told()\n"
        "    for pid in parallel(idle, [0.1] * 2 + [60] * 4, 2): print(pid, flush=True)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        [sys.executable, script],
        env=ENVIRONMENT,
        start_new_session=True,
        **pipes,  # type: ignore[call-overload]
    )
    worker = int(process.stdout.readline())
    if stop is signal.SIGINT:
        os.killpg(process.pid, stop)  # as Ctrl-C does
    else:
        process.send_signal(stop)
    _, err = process.communicate(timeout=20)  # the workers hold the pipes as long as they live
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(stop, -stop)
    if stop is signal.SIGKILL:  # of which Python's tracker of semaphores may warn
        assert "Traceback" not in err, err
    else:
        assert err.count("\n") == 1, err
    assert not lives(worker)


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_that_is_killed_is_told_of() -> None:
    def kill() -> None:
        os.kill(pid, signal.SIGKILL)

    results = parallel(idle, [0.1, 60.0], 2)
    pid = next(results)
    threading.Timer(0.2, kill).start()
    with pytest.raises(InputError, match="ended early"):
        next(results)


def test_surroundings(noisy: Path) -> None:
    """No traceback, whoever reads or does not, and whatever is missing."""
    commands = {
        "sese models | head -1": 0,
        "sese models | true": 0,
        "sese models show sese-2 >&- <&-": 0,
        "LANG=C LC_ALL=C PYTHONUTF8=0 COLUMNS=5 LINES=1 sese models </dev/null": 0,
        "HOME=/nonexistent sese enhance noisy.wav -o out.wav --model nsnet2-dynamic": 0,
        "sese models >/dev/full": 2,
    }
    for command, code in commands.items():
        script = f'sese() {{ {sys.executable} -m sese.cli.main "$@"; }}; {command}'
        ran = subprocess.run(
            ["bash", "-c", script], cwd=noisy.parent, env=ENVIRONMENT, capture_output=True, check=False
        )
        assert b"Traceback" not in ran.stderr, (command, ran.stderr)
        assert b"Exception" not in ran.stderr, (command, ran.stderr)
        assert ran.returncode == code, (command, ran)


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    kills.corpus(tmp_path)
    (tmp_path / "cache").write_text("a file where a folder should be")
    ran = sese(tmp_path, *kills.mix(tmp_path))
    told(ran, 2, "cache")
    assert not (tmp_path / "out").exists()
