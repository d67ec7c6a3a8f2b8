"""Tiny corpora of tones and noise, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def sound(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)).clip(-4, 4)


def room(seed: int) -> np.ndarray:
    """Direct path at sample 32, then a tail of 0.2 s."""
    tail = sound(0.2, seed) * np.exp(-np.arange(3200) / 600)
    tail[:32], tail[32] = 0.0, 0.9
    return tail


def make_corpus(root: Path, first: int = 0) -> Path:
    """Three speakers (one of short utterances), two noise categories (one shorter than a clip), two rooms."""
    for speaker, lengths in (("ann", (2.0, 1.5)), ("bob", (1.2,)), ("cy", (0.2, 0.3, 0.25))):
        for k, seconds in enumerate(lengths):
            name = f"clean/src/{speaker}{first}/u{k}.wav"
            write(root / name, sound(seconds, first + hash_of(speaker) + k))
    write(root / "noise/hum/long.wav", sound(3.0, first + 50))
    write(root / "noise/tick/short.flac", sound(0.3, first + 51))
    for k in range(2):
        write(root / f"rir/room{k}.flac", room(first + 60 + k))
    return root


def hash_of(word: str) -> int:
    return sum(map(ord, word))
