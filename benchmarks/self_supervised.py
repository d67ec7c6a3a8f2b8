"""Measure self-supervised personalisation of small networks: the gain of each method over the generalist, by
user.

    python benchmarks/users.py corpus/val users --snr-db 5
    python benchmarks/self_supervised.py users corpus --generalists runs --predictor runs/frame-snr/best -o o

Every method starts from runs/gru-mask-H of each size H, and gets the recordings of a user or seconds of their
clean speech, with noise of corpus/train. Scores are SI-SDR improvements over the noisy input on the held-out
utterances of the user, in the noise of the user and in other noises of corpus/val. Existing runs and scores
are not computed again. After a stop by --max-minutes, the same command continues. Intervals are bootstrap
intervals over users, paired.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from sese.core.tables import table, with_interval
from sese.data.bank import load_bank
from sese.data.batches import validation_set
from sese.data.corpora import scan
from sese.data.mixing import MixConfig
from sese.evaluation.pairs import SAMPLE_RATE, find_pairs, read_pair
from sese.evaluation.summary import bootstrap_mean
from sese.nn import checkpoint
from sese.training.config import read
from sese.training.losses import si_sdr
from sese.training.run import train

CONFIGS = Path(__file__).parents[1] / "src" / "sese" / "configs" / "self_supervised"
PSEUDO = "pseudo_enhancement"
CONFIG_OF = {
    PSEUDO: PSEUDO,
    "contrastive_mixtures": "contrastive",
    "data_purification": "purified",
    "contrastive_purification": "contrastive",
    "few_shot": "few_shot",
}
"""Method -> its configuration in self_supervised/."""

WAYS = (PSEUDO, "contrastive_mixtures", "data_purification", "contrastive_purification")
NOISY, GENERALIST, CONTROL, SCRATCH = "noisy", "generalist", "generalist_on", "from_nothing"
SNR_DB = (-5.0, 5.0)
"""Range of the SNR in dB for the test in other noises, as in the papers."""

OTHER_CLIPS, OTHER_SECONDS = 16, 4.0

Scores = dict[str, dict[str, list[float]]]
"""size/user/what -> ``own`` or ``other`` noise -> SI-SDR of each clip, dB."""


@dataclass(frozen=True)
class Job:
    """One run: a method, a user, a size and an initial model.

    The control has no user: it trains on the corpus.
    """

    size: int
    user: str
    way: str
    config: str
    start: Path | None
    speech: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return the name of its scores and its folder."""
        return f"{self.size}/{self.user}/{self.way}"


def main() -> None:
    """Train and score what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("users", type=Path, help="folder that benchmarks/users.py wrote")
    parser.add_argument("corpus", type=Path, help="with train/ and val/")
    parser.add_argument("--generalists", type=Path, required=True, help="folder of runs gru-mask-SIZE")
    parser.add_argument("--predictor", type=Path, required=True, help="of frame SNRs")
    parser.add_argument("--size", type=int, nargs="+", default=[64])
    parser.add_argument(
        "--ways", nargs="*", default=[CONTROL, *WAYS], help=f"of {CONTROL}, {', '.join(WAYS)}"
    )
    parser.add_argument("--seconds", type=float, nargs="*", default=[], help="of clean speech, few-shot")
    parser.add_argument("--from-nothing", type=int, default=0, help="steps of runs without a generalist")
    parser.add_argument("--count", type=int, help="of users")
    parser.add_argument("--set", nargs="*", default=[], help="key.path=value for every run")
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    deadline = None if options.max_minutes is None else time.monotonic() + 60 * options.max_minutes
    options.out_dir.mkdir(parents=True, exist_ok=True)
    path = options.out_dir / "scores.json"
    scores: Scores = json.loads(path.read_text()) if path.exists() else {}
    users = sorted(folder for folder in options.users.iterdir() if (folder / "user.json").is_file())
    users = users[: options.count]
    clips = {user.name: test_clips(user, options.corpus) for user in users}

    def note(size: int, user: str, what: str, model: Path | None) -> None:
        key = f"{size}/{user}/{what}"
        if key not in scores:
            scores[key] = score(model, clips[user])
            path.write_text(json.dumps(scores) + "\n")

    for size in options.size:
        for user in clips:
            note(size, user, NOISY, None)
            note(size, user, GENERALIST, options.generalists / f"gru-mask-{size}" / "last")
    for job in jobs(options, users):
        folder = options.out_dir / job.key
        left = None if deadline is None else (deadline - time.monotonic()) / 60
        if not (folder / "done").exists():
            if left is not None and left <= 0:
                print("time is up; start the same command again to go on")
                break
            print(job.key, flush=True)
            if not run(job, folder, options, left):
                break
        for user in clips if job.way == CONTROL else [job.user]:
            note(job.size, user, job.way, folder / "last")
    print("\n".join(report(scores, sorted(clips), options.size)))


def jobs(options: argparse.Namespace, users: Sequence[Path]) -> Iterator[Job]:
    """Return the runs, size by size; few-shot runs follow those that they start from."""
    ways = [way for way in options.ways if way != CONTROL]
    for size in options.size:
        general = options.generalists / f"gru-mask-{size}" / "last"
        corpus = (str(options.corpus / "train"),)
        if CONTROL in options.ways:
            yield Job(size, "all", CONTROL, PSEUDO, general, corpus)
        for user in users:
            for way in ways:
                yield Job(size, user.name, way, way, general, (str(user / "recordings"),))
    for size in options.size:
        general = options.generalists / f"gru-mask-{size}" / "last"
        for seconds in options.seconds:
            for user in users:
                clean = (str(cut(user, seconds, options.out_dir)),)
                for way in (GENERALIST, *ways):
                    start = (
                        general if way == GENERALIST else options.out_dir / f"{size}/{user.name}/{way}/last"
                    )
                    yield Job(size, user.name, f"{way}+{seconds:g}s", "few_shot", start, clean)
    if options.from_nothing:
        for size in options.size:
            for user in users:
                for way in ways:
                    name = f"{way}_{SCRATCH}"
                    yield Job(size, user.name, name, way, None, (str(user / "recordings"),))


def run(job: Job, folder: Path, options: argparse.Namespace, minutes: float | None) -> bool:
    """Train or resume a run, and return whether it is finished."""
    noise = options.corpus / "train" / "noise"
    settings = {
        "model.hidden": str(job.size),
        "data.speech": "[]" if job.way == CONTROL else json.dumps(job.speech),
        "data.train": json.dumps(job.speech) if job.way == CONTROL else "[]",
        "data.noise": "[]" if job.way == CONTROL else json.dumps([str(noise)]),
        "data.validation": json.dumps([str(options.corpus / "val")]),  # seen, but nothing is chosen by it
        "data.validation_clips": "16",
        "training.threads": "1",
    }
    if job.start is None:
        steps = options.from_nothing
        settings |= {"training.steps": str(steps), "training.validate_steps": str(steps)}
        settings |= {"training.warmup_steps": "40", "training.learning_rate": "2.0e-3"}
    else:
        settings["training.initial"] = json.dumps(str(job.start))
    if "purification" in job.config:
        settings["training.purification.predictor"] = json.dumps(str(options.predictor))
    overrides = [*(f"{key}={value}" for key, value in settings.items()), *options.set]
    config = read(CONFIGS / f"{CONFIG_OF[job.config]}.yaml", overrides)
    stopped = (folder / "checkpoints" / "last.ckpt").exists()
    done = train(config, folder, resume=stopped, max_minutes=minutes)
    if done:
        for name in ("checkpoints", "samples", "tensorboard", "best"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "done").touch()
    return done


def cut(user: Path, seconds: float, output: Path) -> Path:
    """Write and return a folder with the first seconds of the clean speech of a user."""
    folder = output / f"clean-{seconds:g}s" / user.name
    if not folder.exists():
        wanted, parts = round(seconds * SAMPLE_RATE), []
        for file in sorted((user / "clean").glob("*.wav")):
            parts.append(soundfile.read(file, dtype="float32")[0])
            if sum(map(len, parts)) >= wanted:
                break
        folder.mkdir(parents=True)
        soundfile.write(folder / "clean.wav", np.concatenate(parts)[:wanted], SAMPLE_RATE)
    return folder


def test_clips(user: Path, corpus: Path) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Return (noisy, clean) clips [1, time]: test pairs of a user, and the same speech in other noises."""
    found = [read_pair(pair) for pair in find_pairs(user / "test")]
    own = [tuple(torch.from_numpy(side)[None] for side in pair) for pair in found]
    facts = json.loads((user / "user.json").read_text())
    speech = load_bank(scan(user / "test" / "clean", role="speech").speech, SAMPLE_RATE)
    noise = load_bank(scan(corpus / "val").noise, SAMPLE_RATE)
    names = np.array(noise.group_names)
    noise = noise.subset(names[noise.groups] != facts["noise"])
    mix = MixConfig(seconds=OTHER_SECONDS, snr_db=SNR_DB).without_augmentation()
    batches = validation_set(mix, speech, noise, None, OTHER_CLIPS, seed=2)
    other = [
        pair for batch in batches for pair in zip(batch.noisy.unbind(0), batch.clean.unbind(0), strict=True)
    ]
    return {"own": own, "other": other}  # type: ignore[dict-item]


@torch.inference_mode()
def score(model: Path | None, clips: dict[str, list[tuple[Tensor, Tensor]]]) -> dict[str, list[float]]:
    """Return the SI-SDR of clips enhanced by a model, or of the clips themselves."""
    enhance = None if model is None else checkpoint.load(model).enhance_clip
    return {
        kind: [
            si_sdr(noisy if enhance is None else enhance(noisy[None])[0], clean).item()
            for noisy, clean in pairs
        ]
        for kind, pairs in clips.items()
    }


def report(scores: Scores, users: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """Return Markdown tables of gains over the noisy input and of differences between methods."""
    lines: list[str] = []
    for kind in ("own", "other"):
        rows = []
        for size in sizes:
            for way in ways_of(scores, size):
                gained = gains(scores, size, way, kind, users)
                against = gains(scores, size, GENERALIST, kind, users)
                both = [user for user in users if user in gained and user in against]
                difference = [gained[user] - against[user] for user in both]
                second = "" if way == GENERALIST else mean_of(difference, sign=True)
                first = mean_of([gained[user] for user in both])
                rows.append([f"{size} {way}", f"{len(both)}", first, second])
        lines += ["", f"SI-SDR gained, {kind} noise, dB", ""]
        lines += table(["", "users", "over noisy", "over the generalist"], rows)
    return [*lines, *differences(scores, users, sizes)]


def differences(scores: Scores, users: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """Return tables of differences between methods, and of small networks against larger ones."""
    rows: list[list[str]] = []

    def row(one: tuple[int, str], other: tuple[int, str]) -> None:
        cells = []
        for kind in ("own", "other"):
            a, b = (gains(scores, size, way, kind, users) for size, way in (one, other))
            both = [user for user in users if user in a and user in b]
            cells.append(mean_of([a[user] - b[user] for user in both], sign=True))
        if both:
            rows.append([f"{one[0]} {one[1]} - {other[0]} {other[1]}", f"{len(both)}", *cells])

    for size in sizes:
        found = ways_of(scores, size)
        for way in (way for way in found if way not in (GENERALIST, CONTROL)):
            base, plus, seconds = way.partition("+")
            others = [f"{PSEUDO}{plus}{seconds}", f"{GENERALIST}{plus}{seconds}"]
            others = [*others[base == GENERALIST :], base if plus else CONTROL]
            for other in others:
                if other not in (way, GENERALIST) and other in found:
                    row((size, way), (size, other))
    for large, small in combinations(sorted(sizes, reverse=True), 2):
        for way in (way for way in ways_of(scores, small) if way in ways_of(scores, large)):
            row((small, way), (large, way))
            if way != GENERALIST:
                row((small, way), (large, GENERALIST))
    return ["", "Paired differences, dB", "", *table(["", "users", "own", "other"], rows)]


def ways_of(scores: Scores, size: int) -> list[str]:
    """Return the methods scored at a size, in the order of their runs."""
    keys = [key.split("/", 2) for key in scores]
    return list(dict.fromkeys(way for of, _, way in keys if of == str(size) and way != NOISY))


def gains(scores: Scores, size: int, way: str, kind: str, users: Sequence[str]) -> dict[str, float]:
    """Return the mean SI-SDR gain over the noisy input of each user that was scored."""
    return {
        user: float(
            np.mean(scores[f"{size}/{user}/{way}"][kind]) - np.mean(scores[f"{size}/{user}/{NOISY}"][kind])
        )
        for user in users
        if f"{size}/{user}/{way}" in scores
    }


def mean_of(values: Sequence[float], sign: bool = False) -> str:
    """Return the mean of values with its interval as text; empty without values."""
    return with_interval(bootstrap_mean(values), 2, sign) if values else ""


if __name__ == "__main__":
    main()
