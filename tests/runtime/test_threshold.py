"""Levels from a running estimate of the SNR: more for noisier speech, and no flutter."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.runtime.threshold import SnrRule

ROOT = Path(__file__).parents[2]
RATE, HOP = 16000, 256
UTILIZATIONS = np.array([0.125, 0.25, 0.5, 1.0])
SNRS_DB = (-5, 0, 5, 10, 15, 20, 30)


def levels_of(audio: np.ndarray, shift_db: float = 0.0) -> np.ndarray:
    """``[time]`` or ``[channel, time]`` -> level of each frame ``[frame]``."""
    audio = np.atleast_2d(audio).astype(np.float32)
    rule = SnrRule(4, len(audio), HOP, RATE, shift_db)
    return rule(audio[:, : audio.shape[1] // HOP * HOP])


def utilization(levels: np.ndarray) -> float:
    """Mean after the first second."""
    return float(UTILIZATIONS[levels[RATE // HOP :]].mean())


def switches_a_second(levels: np.ndarray) -> float:
    return float((np.diff(levels) != 0).sum() / (len(levels) * HOP / RATE))


def bursts(seconds: float) -> np.ndarray:
    """Like speech: harmonics of 120 Hz in syllables of 0.2 s, four a second, a pause after every three."""
    time = np.arange(round(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 30))
    syllable = np.sin(np.pi * (time % 0.25) / 0.2) * (time % 0.25 < 0.2) * (time % 1.0 < 0.75)
    return 0.1 * voice * syllable


def speech(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A clip twice over, and the noise that was recorded with it ``[time]``."""
    clean, _ = soundfile.read(ROOT / "tests" / "pretrained" / f"{name}_clean.flac", dtype="float32")
    noisy, _ = soundfile.read(ROOT / "examples" / f"{name}.wav", dtype="float32")
    return np.tile(clean, 2), np.tile(noisy - clean, 2)


def mix(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    return clean + noise * np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)


def white(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=frames)


@pytest.mark.parametrize("source", ["bursts", "playground", "dryer"])
@pytest.mark.parametrize("kind", ["white", "recorded"])
def test_noisier_speech_gets_more(source: str, kind: str) -> None:
    clean, noise = (bursts(16), white(16 * RATE)) if source == "bursts" else speech(source)
    noise = white(len(clean)) if kind == "white" else noise
    all_levels = [levels_of(mix(clean, noise, snr)) for snr in SNRS_DB]
    used = [utilization(levels) for levels in all_levels]
    for noisier, cleaner in pairwise(used[1:]):  # at -5 dB speech may go unheard
        assert cleaner <= noisier + 0.02, used
    assert used[1] > 0.5
    assert max(used[-2:]) < 0.3
    assert max(map(switches_a_second, all_levels)) < 2.5


def test_more_db_more_compute() -> None:
    clean, noise = speech("playground")
    noisy = mix(clean, noise, 10)
    used = [utilization(levels_of(noisy, shift)) for shift in (-20, -6, 0, 6, 20)]
    assert used == sorted(used)
    assert used[0] < 0.2
    assert used[-1] > 0.95


def test_loudness_decides_nothing() -> None:
    clean, noise = speech("dryer")
    noisy = mix(clean, noise, 8)
    for gain in (0.05, 0.5):
        np.testing.assert_array_equal(levels_of(noisy), levels_of(gain * noisy))


def test_any_chunking() -> None:
    audio = np.stack([mix(bursts(4), white(4 * RATE), snr) for snr in (5, 15)]).astype(np.float32)
    whole = levels_of(audio)
    rule = SnrRule(4, 2, HOP, RATE)
    parts, start = [], 0
    for frames in [1, 2, 128, 1, 7, 111]:
        parts.append(rule(audio[:, start * HOP : (start + frames) * HOP]))
        start += frames
    assert start == len(whole)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    rule.reset()
    np.testing.assert_array_equal(rule(audio), whole)


def test_causal() -> None:
    audio = mix(bursts(4), white(4 * RATE), 10)
    later = audio.copy()
    later[2 * RATE :] = 0.5 * white(2 * RATE)
    known = 2 * RATE // HOP
    np.testing.assert_array_equal(levels_of(audio)[:known], levels_of(later)[:known])


def test_it_begins_with_all_and_goes_down_one_by_one() -> None:
    levels = levels_of(mix(bursts(4), white(4 * RATE), 40))
    assert levels[0] == 3
    assert np.diff(levels).min() == -1
    falls = np.flatnonzero(np.diff(levels) < 0)
    assert np.diff(falls).min() * HOP / RATE >= 0.25


@pytest.mark.parametrize("gain", [0.0, 1e-6, 0.1])
def test_silence_and_steady_noise_are_pauses(gain: float) -> None:
    levels = levels_of(gain * white(6 * RATE))
    assert (levels[2 * RATE // HOP :] == 0).mean() > 0.97


def test_up_at_once_when_noise_sets_in() -> None:
    quiet, loud = mix(bursts(6), white(6 * RATE), 40), mix(bursts(6), white(6 * RATE), 0)
    levels = levels_of(np.concatenate([quiet, loud, quiet]))
    second = RATE // HOP
    assert utilization(levels[4 * second : 6 * second]) < 0.2
    assert (levels[8 * second : 12 * second] == 3).mean() > 0.9
    assert levels[15 * second :].max() <= 1


def test_the_worst_channel_decides() -> None:
    good, bad = mix(bursts(6), white(6 * RATE), 40), mix(bursts(6), white(6 * RATE), 2)
    np.testing.assert_array_equal(levels_of(np.stack([good, bad])), levels_of(np.stack([bad, good])))
    assert utilization(levels_of(np.stack([good, bad]))) >= utilization(levels_of(bad)) > 0.6
    silent = np.zeros_like(good)
    assert utilization(levels_of(np.stack([good, silent]))) == utilization(levels_of(good))


@pytest.mark.parametrize("levels", [1, 2, 3, 7])
def test_any_number_of_levels(levels: int) -> None:
    picked = SnrRule(levels, 1, HOP, RATE)(mix(bursts(4), white(4 * RATE), 8)[None].astype(np.float32))
    assert picked.min() >= 0
    assert picked[0] == picked.max() == levels - 1
