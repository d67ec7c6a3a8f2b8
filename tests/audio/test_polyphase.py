"""Short resampling filters: aligned, of exact length and delay, independent of the blocks, and clean."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sese.audio.polyphase import REACH_SECONDS, ShortResampler, ready_samples

RATES = (8000, 11025, 22050, 44100, 48000, 96000, 192000)


def resample(signal: np.ndarray, source: int, target: int, block: int) -> np.ndarray:
    resampler = ShortResampler(source, target, signal.shape[1])
    parts = [resampler.feed(signal[i : i + block]) for i in range(0, len(signal), block)]
    return np.concatenate([*parts, resampler.flush()])


def sines(rate: int, frequency: float) -> np.ndarray:
    """A second of a sine and a cosine: ``[frame, channel]``."""
    phase = 2 * np.pi * frequency * np.arange(rate) / rate
    return np.stack([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("up", [False, True])
def test_passes_the_band_in_its_place(rate: int, up: bool) -> None:
    source, target = (rate, 16000) if up else (16000, rate)
    for frequency in (50.0, 1000.0, min(rate, 16000) / 2 - 1150):
        made = resample(sines(source, frequency), source, target, 777)
        assert made.shape == (target, 2)
        inner = slice(target // 50, -target // 50)
        np.testing.assert_allclose(made[inner], sines(target, frequency)[inner], atol=2e-3)


@pytest.mark.parametrize(
    ("source", "target"), [(48000, 16000), (44100, 16000), (192000, 16000), (16000, 8000)]
)
def test_stops_what_would_fold(source: int, target: int) -> None:
    for frequency in (target / 2, 0.55 * target, 0.95 * target):
        made = resample(sines(source, frequency), source, target, 1000)
        inner = made[target // 50 : -target // 50]
        assert np.abs(inner).max() < 10 ** (-60 / 20)


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 11025])
def test_any_blocks(rate: int) -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, (1501, 2)).astype(np.float32)
    for source, target in ((rate, 16000), (16000, rate)):
        whole = resample(signal, source, target, len(signal))
        assert len(whole) == -(-len(signal) * target // source)
        for block in (1, 160, 999):
            np.testing.assert_allclose(resample(signal, source, target, block), whole, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_returns_at_once_what_it_can(rate: int) -> None:
    for source, target in ((rate, 16000), (16000, rate)):
        resampler, returned = ShortResampler(source, target, 1), 0
        for fed in range(1, 1000):
            returned += len(resampler.feed(np.zeros((1, 1), np.float32)))
            assert returned == ready_samples(np.array(fed), source, target)
            assert fed / source - returned / target < REACH_SECONDS + 1 / source + 1 / target


@pytest.mark.parametrize("frames", [0, 1, 2, 31, 32, 33])
def test_short_signals(frames: int) -> None:
    for source, target in ((48000, 16000), (16000, 44100), (16000, 16000)):
        made = resample(np.ones((frames, 1), np.float32), source, target, 7)
        assert len(made) == -(-frames * target // source)
        assert np.isfinite(made).all()


def test_flush_to_a_length_starts_afresh() -> None:
    resampler = ShortResampler(48000, 16000, 1)
    signal = np.random.default_rng(1).normal(0, 0.1, (480, 1)).astype(np.float32)
    first = np.concatenate([resampler.feed(signal), resampler.flush(170)])
    assert first.shape == (170, 1)
    again = np.concatenate([resampler.feed(signal), resampler.flush(170)])
    np.testing.assert_array_equal(again, first)
    resampler.feed(signal[:100])
    resampler.reset()
    np.testing.assert_array_equal(np.concatenate([resampler.feed(signal), resampler.flush(170)]), first)


def test_rates_without_a_common_factor_need_little_memory() -> None:
    """A gigabyte to begin with, once, at 191999 Hz."""
    source, target = 48000, 16001
    resampler = ShortResampler(source, target, 1)
    tracemalloc.start()
    try:
        resampler.feed(np.zeros((1000, 1), np.float32))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80e6
