"""A small corpus of voices that can be told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16000


def voice(speaker: int, number: int, seconds: float = 2.0) -> np.ndarray:
    """Harmonics with pauses; speakers of even numbers are low, those of odd numbers high."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = (240 if speaker % 2 else 110) * (1 + 0.02 * speaker)
    sound = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic for harmonic in range(1, 12))
    return (0.1 * sound * (np.sin(5 * time + speaker + number) > -0.3)).astype(np.float32)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten speakers of two utterances each, some speech of nobody known, and noises."""
    root = tmp_path_factory.mktemp("voices")
    generator = np.random.default_rng(0)
    for speaker in range(10):
        for number in range(2):
            path = root / "clean" / "made" / f"s{speaker}" / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, voice(speaker, number), RATE)
    path = root / "clean" / "made" / "unknown" / "0.wav"
    path.parent.mkdir()
    soundfile.write(path, voice(11, 0), RATE)
    for number in range(10):
        path = root / "noise" / "hiss" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.05 * generator.standard_normal(2 * RATE), RATE)
    return root
