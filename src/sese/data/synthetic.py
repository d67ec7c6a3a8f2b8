"""Speech-like and noise-like signals, for tests and trials without a corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sese.data.bank import Bank
from sese.data.corpus_banks import Banks


def synthetic_banks(sample_rate: int, seed: int, recordings: int = 8, seconds: float = 4.0) -> Banks:
    """Generate a bank of voiced syllables with pauses, and a bank of coloured noise.

    Args:
        sample_rate: Sample rate in Hz.
        seed: Seed of all signals.
        recordings: Number of recordings in each bank.
        seconds: Length of each recording in seconds.
    """
    rng = np.random.default_rng(seed)
    length = int(seconds * sample_rate)
    speech = [_syllables(rng, length, sample_rate) for _ in range(recordings)]
    noise = [_coloured(rng, length) for _ in range(recordings)]
    return Banks(_bank(speech, sample_rate, "voice"), _bank(noise, sample_rate, "noise"), None, ())


def _syllables(rng: np.random.Generator, length: int, sample_rate: int) -> np.ndarray:
    """Return harmonics of a gliding pitch with an envelope of syllables, float64 [sample]."""
    t = np.arange(length) / sample_rate
    pitch = rng.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * t))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voice = np.zeros(length)
    for harmonic in range(1, 20):
        voice += rng.uniform(0.2, 1) / harmonic * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    envelope = np.clip(np.sin(2 * np.pi * rng.uniform(2, 4) * t + rng.uniform(0, 6)), 0, None) ** 0.5
    return 0.2 * voice * envelope / np.abs(voice).max()


def _coloured(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return noise whose spectrum falls with a random slope, float64 [sample]."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    slope = (1 + np.arange(len(spectrum))) ** -rng.uniform(0, 0.7)
    noise = np.fft.irfft(spectrum * slope, length)
    return 0.2 * noise / np.abs(noise).max()


def _bank(signals: list[np.ndarray], sample_rate: int, name: str) -> Bank:
    """Return a bank of signals, each in a group of its own."""
    lengths = np.array([len(signal) for signal in signals], dtype=np.int64)
    return Bank(
        samples=np.concatenate([np.round(signal * 32767).astype(np.int16) for signal in signals]),
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        lengths=lengths,
        groups=np.arange(len(signals), dtype=np.int64),
        group_names=tuple(f"{name}{number}" for number in range(len(signals))),
        paths=tuple(Path(f"{name}{number}") for number in range(len(signals))),
        sample_rate=sample_rate,
    )
