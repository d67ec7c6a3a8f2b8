"""Commands killed at random moments: what was finished stays, the rest is done later, nothing is corrupt.

    python tests/hostile/kills.py --kills 50 --seed 1
    python tests/hostile/kills.py --job train --kills 10

Each job runs undisturbed first: so long it takes, and that is what it makes. Then it is started anew,
again and again, and each time killed (SIGKILL, the whole process group) after a part of that time that
is drawn. After each kill whatever lies where results belong has to be whole. At last it may end, and has
to have made what the first one made.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
RATE = 16000
MODEL = "nsnet2-dynamic"


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        prepare: puts what is needed into an empty folder.
        words: of the command, in that folder, to begin or to go on.
        results: paths of what is finished, as it lies there; each has to be equal to that of the first run.
    """

    prepare: Callable[[Path], None]
    words: Callable[[Path], list[str]]
    results: Callable[[Path], list[Path]]


def recordings(folder: Path) -> None:
    """Eight files of noise, some seconds long."""
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for number in range(8):
        noise = 0.1 * rng.standard_normal(3 * RATE).astype(np.float32)
        soundfile.write(folder / "in" / f"{number}.wav", noise, RATE)


def model(folder: Path) -> None:
    """Weights to export."""
    shutil.copytree(ROOT / "src" / "sese" / "pretrained" / MODEL, folder / "run")
    (folder / "run" / "model.onnx").unlink()


def enhance(folder: Path) -> list[str]:
    return ["enhance", "in", "--out-dir", "out", "--model", MODEL, "--jobs", "2"]


def train(folder: Path) -> list[str]:
    config = str(ROOT / "configs" / "debug.yaml")
    begun = (folder / "run" / "checkpoints" / "last.ckpt").exists()
    changes = ["training.checkpoint_steps=1", "training.threads=1", "training.precision=32-true"]
    if begun:
        return ["train", "run", "--resume"]
    return ["train", config, "--run-dir", "run", *changes]


def export(folder: Path) -> list[str]:
    return ["export", "run", "-o", "made"]


def outputs(folder: Path) -> list[Path]:
    return [path for path in (folder / "out").rglob("[!.]*.wav")] if (folder / "out").exists() else []


def weights(folder: Path) -> list[Path]:
    """Of a training that is through; those before are opened, to see that they are whole."""
    from sese.nn import checkpoint

    for part in ("last", "best"):
        if (folder / "run" / part / checkpoint.WEIGHTS).exists():
            checkpoint.load(folder / "run" / part)
    last = folder / "run" / "last" / checkpoint.WEIGHTS
    steps = folder / "run" / "samples" / "step_20"
    return [last] if steps.exists() else []


def artefact(folder: Path) -> list[Path]:
    """All files, or none: a folder appears whole."""
    if not (folder / "made").exists():
        return []
    made = [
        folder / "made" / name for name in ("model.onnx", "model.safetensors", "config.json", "README.md")
    ]
    assert all(path.exists() for path in made), "half a model folder"
    return made


JOBS = {
    "enhance": Job(recordings, enhance, outputs),
    "train": Job(lambda folder: None, train, weights),
    "export": Job(model, export, artefact),
}
"""By name."""


def torment(job: Job, kills: int, seed: int) -> int:
    """Run a job undisturbed, then under kills; how many results were finished when it was killed.

    Raises:
        AssertionError: something is not whole, or not what the first run made.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as calm, tempfile.TemporaryDirectory() as hit:
        job.prepare(Path(calm))
        begun = time.monotonic()
        assert run(job, Path(calm)) == 0, "the first run, undisturbed"
        seconds = time.monotonic() - begun
        wanted = {path.relative_to(calm): digest(path) for path in job.results(Path(calm))}
        assert wanted
        found = 0
        job.prepare(Path(hit))
        for number in range(kills):
            if set(found_in(job, Path(hit))) == set(wanted):  # it was through: once more
                clear(Path(hit))
                job.prepare(Path(hit))
            run(job, Path(hit), after=rng.uniform(0.1, 1.0) * seconds)
            there = found_in(job, Path(hit))
            assert all(wanted[path] == value for path, value in there.items()), f"kill {number}: changed"
            found += len(there)
        assert run(job, Path(hit)) == 0, "it goes on after the last kill"
        assert found_in(job, Path(hit)) == wanted
        left = [path.name for path in Path(hit).rglob("*") if ".part" in path.name]
        assert not left, f"left behind: {left}"
    return found


def found_in(job: Job, folder: Path) -> dict[Path, str]:
    """What is finished, and its digest."""
    return {path.relative_to(folder): digest(path) for path in job.results(folder)}


def run(job: Job, folder: Path, after: float | None = None) -> int | None:
    """Run the command; its exit code, or None where it was killed after so many seconds."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "sese.cli.main", *job.words(folder)]
    with (folder / ".log").open("w") as log:
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    """Torment the jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each job")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--job", action="append", choices=sorted(JOBS))
    options = parser.parse_args()
    for name in options.job or JOBS:
        found = torment(JOBS[name], options.kills, options.seed)
        print(f"{name}: {options.kills} kills, {found} finished results seen, all whole", flush=True)


if __name__ == "__main__":
    main()
