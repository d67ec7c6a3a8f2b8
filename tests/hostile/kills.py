"""Commands killed at random moments: what was finished stays, the rest is done later, nothing is corrupt.

    python tests/hostile/kills.py --kills 50 --seed 1
    python tests/hostile/kills.py --job train --kills 10

Each job runs undisturbed first: that is what it makes, and so long it works. Then it is started anew, again
and again, and each time killed (SIGKILL, the whole process group): one time in four at a moment drawn over
all of its time, else so long after it first touched its folder as is drawn over the rest. After each kill
whatever lies where results belong has to be whole. At last it may end, and has to have made what the first
one made, and to have left nothing beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
CONFIGS = ROOT / "src" / "sese" / "configs"
RATE = 16000
MODEL = "nsnet2-dynamic"
WEIGHTS = "model.safetensors"
Results = dict[str, str]
"""Name of each finished file -> its digest."""


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        prepare: puts what is needed into an empty folder.
        words: of the command, in that folder, to begin or to go on.
        results: what is finished there; each has to be equal to that of the first run.
    """

    prepare: Callable[[Path], None]
    words: Callable[[Path], list[str]]
    results: Callable[[Path], Results]


# Enhancing: files that are there are passed over.


def recordings(folder: Path) -> None:
    """Eight files of noise, some seconds long."""
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for number in range(8):
        noise = 0.1 * rng.standard_normal(3 * RATE).astype(np.float32)
        soundfile.write(folder / "in" / f"{number}.wav", noise, RATE)


def enhance(folder: Path) -> list[str]:
    return ["enhance", "in", "--out-dir", "out", "--model", MODEL, "--jobs", "2"]


def outputs(folder: Path) -> Results:
    return digests(folder, (folder / "out").rglob("[!.]*.wav"))


# Training and sweeps: last.ckpt goes on.

CHANGES = ("training.checkpoint_steps=1", "training.threads=1", "training.precision=32-true")


def train(folder: Path) -> list[str]:
    if (folder / "run" / "checkpoints" / "last.ckpt").exists():
        return ["train", "run", "--resume"]
    return ["train", str(CONFIGS / "debug.yaml"), "--run-dir", "run", *CHANGES]


def trained(folder: Path) -> Results:
    """The weights of a training that is through; those before are opened, to see that they are whole."""
    from sese.nn import checkpoint

    for part in ("last", "best"):
        if (folder / "run" / part / WEIGHTS).exists():
            checkpoint.load(folder / "run" / part)
    through = list((folder / "run" / "samples" / "step_20").glob("2_level_*"))
    return digests(folder, [folder / "run" / "last" / WEIGHTS] if through else [])


def sweep_file(folder: Path) -> None:
    """Two runs, of which one starts from the other."""
    (folder / "sweep.yaml").write_text(
        f"config: {CONFIGS / 'debug.yaml'}\n"
        "set: {training.steps: 4, training.validate_steps: 2, data.mix.seconds: 0.25}\n"
        "runs:\n"
        "  first: {}\n"
        '  second: {set: {training.initial: "{first}"}}\n'
    )


def sweep(folder: Path) -> list[str]:
    return ["sweep", "sweep.yaml", "--out-dir", "out", *CHANGES]


def swept(folder: Path) -> Results:
    done = (folder / "out").glob("*/seed-*/done.json")
    return digests(folder, [each.parent / "last" / WEIGHTS for each in done])


# Exporting: a folder appears whole.


def model(folder: Path) -> None:
    shutil.copytree(ROOT / "src" / "sese" / "pretrained" / MODEL, folder / "run")
    (folder / "run" / "model.onnx").unlink()


def export(folder: Path) -> list[str]:
    return ["export", "run", "-o", "made"]


def artefact(folder: Path) -> Results:
    if not (folder / "made").exists():
        return {}
    names = ("README.md", "config.json", "model.onnx", WEIGHTS)
    assert all((folder / "made" / name).exists() for name in names), "half a model folder"
    # The card of an adapted model says how many minutes it took.
    return digests(folder, [folder / "made" / name for name in names[1:]])


# Adapting: a checkpoint beside the output goes on.


def user(folder: Path) -> None:
    """A network that has learnt nothing, and 16 s of two noisy readers."""
    network(folder / "student", "nsnet2", hidden=8, wide=12, exits=("fc3",))
    (folder / "in").mkdir()
    for name in ("playground", "dryer"):
        shutil.copy(ROOT / "examples" / f"{name}.wav", folder / "in")


def adapt(folder: Path) -> list[str]:
    words = ["adapt", "student", "--recordings", "in", "-o", "made", "--tolerance", "100", "--levels", "all"]
    words += ["--teacher", MODEL, "steps=12", "validate_steps=1", "patience=20", "batch_size=2"]
    words += ["learning_rate=0.01", "least_seconds=5", "precision=32-true", "threads=1"]
    begun = (folder / ".made.adapting" / "last.ckpt").exists()
    return [*words, "--resume"] if begun else words


# Compressing: each network that was tried is kept.


def pairs(folder: Path) -> None:
    """A small network, and six pairs of a second."""
    network(folder / "model", "nsnet2", hidden=8, wide=12, exits=("fc3",))
    rng = np.random.default_rng(0)
    seconds = np.arange(RATE) / RATE
    for number in range(6):
        clean = 0.2 * np.sin(2 * np.pi * (200 + 90 * number) * seconds) * (np.sin(9 * seconds) > 0)
        for side, audio in (("clean", clean), ("noisy", clean + 0.05 * rng.standard_normal(RATE))):
            path = folder / "pairs" / side / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio, RATE)


def compress(folder: Path) -> list[str]:
    sizes = ["--population", "16", "--generations", "8", "--limit", "4", "--choose-limit", "6"]
    return ["compress", "model", "pairs", "-o", "out", "--search", "--bits", "8,5", *sizes, "--seconds", "1"]


def tried(folder: Path) -> Results:
    """The networks that were tried, and the report."""
    found = {}
    for path in (folder / "out").rglob("evaluations.jsonl"):
        for line in path.read_text().split("\n")[1:-1]:
            row = json.loads(line)
            found[f"{path.relative_to(folder)} {row['bits']}"] = line
    return found | digests(folder, (folder / "out").glob("compress.*"))


# Data: a set appears whole, what was decoded and labelled is kept.


def corpus(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("speech", "noise"):
        for number in range(6):
            path = folder / "in" / kind / f"{number}" / f"{number}.flac"
            path.parent.mkdir(parents=True)
            soundfile.write(path, 0.1 * rng.standard_normal(20 * RATE), RATE)


def mix(folder: Path) -> list[str]:
    return ["data", "mix", "in", "out", "--clips", "60", "--seconds", "4", "--cache", "cache"]


def mixed(folder: Path) -> Results:
    if not (folder / "out").exists():
        return {}
    made = list((folder / "out").rglob("[!.]*.*"))
    assert len(made) == 121, "half a set"
    return digests(folder, made)


def label(folder: Path) -> list[str]:
    small = ["data.synthetic=true", "data.cache_dir=cache", "data.clips=48", "data.validation_clips=16"]
    size = ["data.mix.reverb=0", "network.seconds=1.0"]
    return ["quality", "label", str(CONFIGS / "quality" / "bam.yaml"), *small, *size, "--jobs", "1"]


def labelled(folder: Path) -> Results:
    """Each clip with its label; the audio may be ahead of the labels."""
    found = {}
    for path in (folder / "cache").rglob("[!.]*.npy"):
        labels = np.load(path)
        audio = np.fromfile(path.with_suffix(".i16"), np.int16)
        for number, row in enumerate(labels):
            clip = audio[number * RATE : (number + 1) * RATE]
            assert len(clip) == RATE, "a label without its clip"
            found[f"{path.relative_to(folder)} {number}"] = sha(row.tobytes() + clip.tobytes())
    return found


def nothing(folder: Path) -> None: ...


JOBS = {
    "enhance": Job(recordings, enhance, outputs),
    "train": Job(nothing, train, trained),
    "sweep": Job(sweep_file, sweep, swept),
    "export": Job(model, export, artefact),
    "adapt": Job(user, adapt, artefact),
    "compress": Job(pairs, compress, tried),
    "mix": Job(corpus, mix, mixed),
    "label": Job(nothing, label, labelled),
}
"""By name."""


def torment(job: Job, kills: int, seed: int) -> tuple[int, int]:
    """Run a job undisturbed, then under kills.

    Returns:
        How many of the kills hit it, and how many results were finished when it was hit.

    Raises:
        AssertionError: something is not whole, or not what the first run made.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as calm, tempfile.TemporaryDirectory() as hit:
        job.prepare(Path(calm))
        seconds, starting = timed(job, Path(calm))
        wanted = job.results(Path(calm))
        assert wanted
        hits = found = 0
        job.prepare(Path(hit))
        for number in range(kills):
            if job.results(Path(hit)) == wanted:  # it was through: once more
                clear(Path(hit))
                job.prepare(Path(hit))
            at_once = rng.uniform() < 0.25
            after = rng.uniform(0.1, seconds) if at_once else rng.uniform(0, seconds - starting)
            code = run(job, Path(hit), after, at_once)
            assert code in (None, 0), f"kill {number}: ended with {code}: {log(Path(hit))}"
            hits += code is None
            there = job.results(Path(hit))
            assert all(wanted[name] == value for name, value in there.items()), f"kill {number}: changed"
            found += len(there)
        if job.results(Path(hit)) != wanted:
            assert run(job, Path(hit)) == 0, f"it goes on after the last kill: {log(Path(hit))}"
        assert job.results(Path(hit)) == wanted
        own = {path.relative_to(calm) for path in Path(calm).rglob("*")}
        left = {path.relative_to(hit) for path in Path(hit).rglob(".*") if path.name != ".log"} - own
        assert not left, f"left behind: {sorted(map(str, left))}"
    return hits, found


def timed(job: Job, folder: Path) -> tuple[float, float]:
    """Run a job: its seconds, and those before it touches its folder."""
    begun = time.monotonic()
    before, first = stamp(folder), None
    process = start(job, folder)
    while process.poll() is None:
        if first is None and stamp(folder) != before:
            first = time.monotonic() - begun
        time.sleep(0.01)
    assert process.returncode == 0, f"the first run, undisturbed: {log(folder)}"
    seconds = time.monotonic() - begun
    return seconds, seconds if first is None else first


def run(job: Job, folder: Path, after: float | None = None, at_once: bool = True) -> int | None:
    """Run the command; its exit code, or None where it was killed.

    Args:
        after: kill it after so many seconds; None for never.
        at_once: count them from its start, else from when it first touches its folder.
    """
    before = stamp(folder)
    process = start(job, folder)
    while not at_once and process.poll() is None and stamp(folder) == before:
        time.sleep(0.01)
    try:
        return process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "sese.cli.main", *job.words(folder)]
    with (folder / ".log").open("w") as log:
        return subprocess.Popen(
            words, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def log(folder: Path) -> str:
    return (folder / ".log").read_text()[-2000:]


def stamp(folder: Path) -> set[tuple[str, int, int]]:
    """Return the path, the size and the time of change of each file in a folder."""
    found = set()
    for place, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(place, name)
            try:
                facts = os.stat(path)
            except FileNotFoundError:
                continue
            if name != ".log":
                found.add((path, facts.st_mtime_ns, facts.st_size))
    return found


def network(where: Path, system: str, **values: object) -> None:
    """A network that has learnt nothing."""
    import torch

    from sese.nn import checkpoint
    from sese.nn.backbones.registry import SYSTEMS

    torch.manual_seed(0)
    config = SYSTEMS[system](**values)
    checkpoint.save(where, system, config, config.build().state_dict())


def digests(folder: Path, paths: object) -> Results:
    return {str(path.relative_to(folder)): sha(path.read_bytes()) for path in paths}  # type: ignore[attr-defined]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
        begun = time.monotonic()
        hits, found = torment(JOBS[name], options.kills, options.seed)
        print(
            f"{name}: {options.kills} starts, {hits} killed, {found} finished results seen, all whole, "
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
