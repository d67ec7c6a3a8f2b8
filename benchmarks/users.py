"""Write folders of users: recordings as the device of a real speaker would have them, and held-out test
pairs.

    python benchmarks/users.py corpus/val users --snr-db 0 [--count 12 --seed 7]

Each speaker of a corpus with enough speech is a user, who has one category of noise. The folder of a user
has:

    recordings/*.wav     noisy speech, which is all that a device has
    clean/*.wav          the clean speech of these recordings, for methods that get clean speech
    test/clean, noisy    pairs of other utterances and other recordings of the noise
    user.json            speaker, noise, and lengths

A device records for minutes: utterances that are not for the test are repeated with other noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from sese.data.bank import Bank, load_bank
from sese.data.corpora import scan
from sese.data.mixing import active_power

SAMPLE_RATE = 16000
LEVEL = 0.05
"""RMS of active speech, -26 dBFS."""

PAUSE_SECONDS = 0.3
LEAST_SECONDS = 60.0
"""Least speech of a user in seconds."""


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--snr-db", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=3.0, help="of recordings")
    parser.add_argument("--test-seconds", type=float, default=40.0, help="of speech for the test, at most")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    corpus = scan(options.corpus)
    speech, noise = load_bank(corpus.speech, SAMPLE_RATE), load_bank(corpus.noise, SAMPLE_RATE)
    speakers = [s for s in by_length(speech) if lengths(speech, s).sum() >= LEAST_SECONDS * SAMPLE_RATE]
    noises = [n for n in by_length(noise) if len(lengths(noise, n)) > 1]
    if min(len(speakers), len(noises)) < options.count:
        parser.error(
            f"{options.corpus} has {len(speakers)} such speakers and {len(noises)} noises; lower --count"
        )
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(options.count)
    for number in range(options.count):
        write_user(speech, speakers[number], noise, noises[order[number]], rng, options)


def by_length(bank: Bank) -> list[int]:
    """Return the groups, the longest first."""
    total = np.bincount(bank.groups, weights=bank.lengths)
    return [int(group) for group in np.argsort(-total, kind="stable")]


def lengths(bank: Bank, group: int) -> NDArray:
    """Return the lengths in samples of the recordings of a group."""
    return bank.lengths[bank.groups == group]


def write_user(
    speech: Bank,
    speaker: int,
    noise: Bank,
    category: int,
    rng: np.random.Generator,
    options: argparse.Namespace,
) -> None:
    """Write the folder of a user."""
    name = speech.group_names[speaker]
    spoken = np.flatnonzero(speech.groups == speaker)
    limit = min(options.test_seconds * SAMPLE_RATE, 0.4 * lengths(speech, speaker).sum())
    test, own = split(rng.permutation(spoken), speech, limit)
    heard = np.flatnonzero(noise.groups == category)
    test_noise, own_noise = split(rng.permutation(heard), noise, 0.5 * lengths(noise, category).sum())
    folder = options.output / name
    recorded, tested = (
        write_pairs(folder / noisy, folder / clean, made, noise, heard, options.snr_db, rng)
        for noisy, clean, made, heard in (
            ("recordings", "clean", clips(speech, own, 10.0, options.minutes * 60), own_noise),
            ("test/noisy", "test/clean", clips(speech, test, 5.0), test_noise),
        )
    )
    facts = {
        "speaker": name,
        "noise": noise.group_names[category],
        "snr_db": options.snr_db,
        "recorded_seconds": recorded,
        "distinct_speech_seconds": float(speech.lengths[own].sum() / SAMPLE_RATE),
        "test_seconds": tested,
        "test_files": sorted(speech.paths[index].name for index in test),
        "test_noises": sorted(noise.paths[index].name for index in test_noise),
    }
    (folder / "user.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{name}: {noise.group_names[category]}, {recorded:.0f} s recorded, {tested:.0f} s to test on")


def split(order: NDArray, bank: Bank, limit: float) -> tuple[NDArray, NDArray]:
    """Return the first recordings, at least one, up to a number of samples, and the others, at least one."""
    within = np.cumsum(bank.lengths[order]) <= limit
    count = min(max(int(within.sum()), 1), len(order) - 1)
    return order[:count], order[count:]


def clips(bank: Bank, recordings: NDArray, seconds: float, total: float | None = None) -> Iterator[NDArray]:
    """Yield clips of joined utterances, once through all of them or until they last `total` seconds."""
    joined: list[NDArray] = []
    filled, made = 0, 0
    for index in recordings if total is None else cycle(recordings):
        utterance = bank.audio(int(index))
        joined += [utterance, np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)]
        filled += sum(map(len, joined[-2:]))
        while filled >= seconds * SAMPLE_RATE:
            whole, size = np.concatenate(joined), round(seconds * SAMPLE_RATE)
            yield whole[:size]
            joined, filled, made = [whole[size:]], filled - size, made + size
        if total is not None and made >= total * SAMPLE_RATE:
            return
    if filled >= SAMPLE_RATE:
        yield np.concatenate(joined)


def write_pairs(
    noisy_folder: Path,
    clean_folder: Path,
    made: Iterator[NDArray],
    noise: Bank,
    recordings: NDArray,
    snr_db: float,
    rng: np.random.Generator,
) -> float:
    """Mix clips with parts of the joined noise recordings, and return the seconds written."""
    bed = np.concatenate([noise.audio(int(index)) for index in recordings])
    total = 0
    for folder in (noisy_folder, clean_folder):
        folder.mkdir(parents=True, exist_ok=True)
    for number, speech in enumerate(made):
        start = rng.integers(len(bed))
        piece = np.take(bed, np.arange(start, start + len(speech)), mode="wrap")
        clean = speech * (LEVEL / np.sqrt(power(speech)))
        clean = clean.astype(np.float32)
        noisy = clean + piece * (LEVEL * 10 ** (-snr_db / 20) / np.sqrt(max(float(np.mean(piece**2)), 1e-9)))
        scale = min(1.0, 0.99 / float(np.abs(noisy).max()))
        for folder, audio in ((noisy_folder, noisy), (clean_folder, clean)):
            soundfile.write(folder / f"{number:03d}.wav", audio * scale, SAMPLE_RATE, subtype="PCM_16")
        total += len(speech)
    return total / SAMPLE_RATE


def power(speech: NDArray) -> float:
    """Return the mean square of active speech."""
    return float(active_power(torch.from_numpy(np.ascontiguousarray(speech))[None], SAMPLE_RATE)) + 1e-9


if __name__ == "__main__":
    main()
