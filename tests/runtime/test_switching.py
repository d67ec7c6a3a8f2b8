"""A change of level is no click: at the switches the output moves no more than fixed levels do there.

Measured are first and second differences of the samples, which a step or a kink makes large, around the
instants of the switches, against those of every fixed level around the same instants.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.runtime.artefact import DEFAULT_MODEL, Artefact, open_artefact
from sese.runtime.step import Step

EXAMPLES = Path(__file__).parents[2] / "examples"
RATE = 16000


@cache
def signal(name: str) -> np.ndarray:
    """``[time]``, 8 s."""
    if name in ("playground", "dryer"):
        audio, _ = soundfile.read(EXAMPLES / f"{name}.wav", dtype="float32")
        return audio
    time = np.arange(8 * RATE) / RATE
    harmonics = 1 if name == "tone" else 7
    waves = [np.sin(2 * np.pi * 150 * k * time) for k in range(1, harmonics + 1)]
    return (0.3 / harmonics**0.5 * np.sum(waves, axis=0)).astype(np.float32)


def run(audio: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """``[time]`` at the level of each frame ``[frame]``."""
    hop = open_model().card.hop_length
    step = Step(open_model(), 1)
    parts = []
    for start in range(0, len(levels), Step.LONGEST):
        part = slice(start * hop, min(start + Step.LONGEST, len(levels)) * hop)
        parts.append(step(audio[None, part], levels[start : start + Step.LONGEST])[0][0].copy())
    return np.concatenate(parts)


@cache
def open_model() -> Artefact:
    return open_artefact(DEFAULT_MODEL)


@cache
def fixed(name: str) -> np.ndarray:
    """``[level, time]``."""
    frames = len(signal(name)) // open_model().card.hop_length
    return np.stack(
        [run(signal(name), np.full(frames, level)) for level in range(len(open_model().card.levels))]
    )


def peaks(audio: np.ndarray, instants: np.ndarray, order: int) -> np.ndarray:
    """``[..., time]`` -> the largest difference of an order around each instant ``[..., instant]``."""
    differences = np.abs(np.diff(audio, order))
    around = instants[:, None] + np.arange(-order, 8)
    return differences[..., around].max(axis=-1)


def roughness(name: str, frames_a_level: int, order: int, seed: int = 0) -> tuple[float, float]:
    """Differences at switches over those of the roughest fixed level there: root mean square, and largest."""
    hop = open_model().card.hop_length
    frames = len(signal(name)) // hop
    drawn = np.random.default_rng(seed).integers(0, len(fixed(name)), frames)
    levels = np.repeat(drawn, frames_a_level)[:frames]
    instants = (np.flatnonzero(np.diff(levels)) + 1) * hop
    instants = instants[instants > 2 * hop]
    switched = peaks(run(signal(name), levels), instants, order)
    steady = peaks(fixed(name), instants, order).max(axis=0)
    return float(np.sqrt(np.mean(switched**2) / np.mean(steady**2))), float(switched.max() / steady.max())


EVERY_FRAME, TENTH_OF_A_SECOND = 1, 6


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("frames_a_level", [EVERY_FRAME, TENTH_OF_A_SECOND])
@pytest.mark.parametrize("name", ["playground", "dryer"])
def test_no_click_in_speech(name: str, frames_a_level: int, order: int) -> None:
    """With the state zeroed at each switch, first differences come to 1.6 and more at the slower pace."""
    for seed in range(2):
        typical, largest = roughness(name, frames_a_level, order, seed)
        assert typical < 1.3
        assert largest < 1.6


@pytest.mark.parametrize("frames_a_level", [EVERY_FRAME, TENTH_OF_A_SECOND])
def test_no_step_in_a_voiced_sound(frames_a_level: int) -> None:
    typical, largest = roughness("vowel", frames_a_level, 1)
    assert typical < 1.1
    assert largest < 1.3


@pytest.mark.parametrize("frames_a_level", [EVERY_FRAME, TENTH_OF_A_SECOND])
def test_no_step_in_a_tone(frames_a_level: int) -> None:
    """Every level takes a steady tone out; after a switch it must not come back."""
    assert roughness("tone", frames_a_level, 1)[0] < 1.3
