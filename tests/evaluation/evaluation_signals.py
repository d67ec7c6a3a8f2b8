"""Signals and enhancers that the tests of the evaluation share."""

from __future__ import annotations

import numpy as np

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
