"""Signals, a corpus and enhancers that the tests of the evaluation share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


def speech_like(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding voice in syllables with pauses: [time] at 16 kHz, enough for PESQ's detector."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time + seed)) / RATE
    voice = sum(np.sin(number * pitch) / number for number in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None) ** 0.5
    return (0.1 * voice * syllables).astype(np.float32)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.03 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def write_corpus(folder: Path) -> Path:
    """Three pairs of two seconds in clean/ and noisy/, with a manifest of input SNRs."""
    for part in ("clean", "noisy"):
        (folder / part).mkdir(parents=True)
    for index in range(3):
        clean = speech_like(seed=index)
        soundfile.write(folder / "clean" / f"{index}.wav", clean, RATE)
        soundfile.write(folder / "noisy" / f"{index}.wav", clean + noise(len(clean), index), RATE)
    (folder / "manifest.csv").write_text("file,snr_db\n0.wav,5\n1.wav,5\n2.wav,10\n")
    return folder


class Identity:
    """An enhancer that returns its input."""

    def __init__(self, model: object, budget: float | str = 1.0) -> None:
        self.budget = budget

    def enhance(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        return audio


class Scaled(Identity):
    """One that lets through the share `budget` of the amplitude, in place."""

    def enhance(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        audio *= self.budget
        return audio
