"""Signals, a corpus and enhancers that the tests of the evaluation share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

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


class Switching(Identity):
    """A model with a router, as the evaluation sees it; its MACs do not lie on a line.

    Levels cost 1, 4 and 6 million MACs a second for a quarter, a half and all of its compute. Told
    "fixed:U" it stays at a level; else half of the frames run the first and half the last. What comes out
    has an error that is smaller the more it costs.
    """

    card = SimpleNamespace(
        name="switching",
        router=True,
        router_macs_per_second=0.0,
        sample_rate=RATE,
        hop_length=160,
        levels=[
            SimpleNamespace(utilization=u, macs_per_second=m, parameters=1)
            for u, m in ((0.25, 1e6), (0.5, 4e6), (1.0, 6e6))
        ],
    )

    def stream(self, sample_rate: int | None = None, *, trace_seconds: float | None = 60) -> Switching:
        word = str(self.budget)
        self.pattern = [float(word.removeprefix("fixed:"))] if word.startswith("fixed:") else [0.25, 1.0]
        self.routed = not word.startswith("fixed:")
        self.trace = np.zeros(0, np.float32)
        return self

    def feed(self, audio: np.ndarray) -> np.ndarray:
        frames = len(audio) // 160
        self.trace = np.append(self.trace, np.resize(np.float32(self.pattern), frames))
        return audio + 0.02 * (1.1 - np.mean(self.pattern)) * noise(len(audio), 99) / 0.03

    def flush(self) -> np.ndarray:
        return np.zeros(0, np.float32)

    @property
    def utilization(self) -> float:
        return float(self.trace.mean())
