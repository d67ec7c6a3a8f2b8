"""Resampling in blocks: aligned, of exact length, independent of the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.tiny_model import tone
from sese.audio.resample import Resampler

RATES = (8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000)


def resample(signal: np.ndarray, source: int, target: int, block: int) -> np.ndarray:
    resampler = Resampler(source, target, signal.shape[1])
    parts = [resampler.feed(signal[i : i + block]) for i in range(0, len(signal), block)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize("rate", RATES)
def test_aligned_both_ways(rate: int) -> None:
    there = tone(rate, 2, rate).astype(np.float32)
    model = resample(there, rate, 16000, 1000)
    assert model.shape == (16000, 2)
    inner = slice(4000, -4000)  # the filters ring at the sudden ends of the tone
    np.testing.assert_allclose(model[inner], tone(16000, 2)[inner], atol=1e-5)
    back = resample(model, 16000, rate, 1000)
    assert back.shape == there.shape
    inner = slice(rate // 4, -rate // 4)
    np.testing.assert_allclose(back[inner], there[inner], atol=1e-5)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 11, 12, 13, 1001])
def test_exact_length_there_and_back(rate: int, frames: int) -> None:
    there, back = Resampler(rate, 16000, 1), Resampler(16000, rate, 1)
    signal = np.full((frames, 1), 0.5, np.float32)
    model = np.concatenate([there.feed(signal), there.flush()])
    assert len(model) == -(-frames * 16000 // rate)
    assert len(np.concatenate([back.feed(model), back.flush(total=frames)])) == frames


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_blocks_do_not_matter(rate: int) -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, (rate // 2, 2)).astype(np.float32)
    whole = resample(signal, rate, 16000, len(signal))
    for block in (1, 7, 160, 4801):
        np.testing.assert_allclose(resample(signal, rate, 16000, block), whole, atol=1e-6)


def test_flush_starts_afresh() -> None:
    resampler = Resampler(48000, 16000, 1)
    signal = tone(4801, rate=48000).astype(np.float32)
    first = np.concatenate([resampler.feed(signal), resampler.flush()])
    second = np.concatenate([resampler.feed(signal), resampler.flush()])
    np.testing.assert_array_equal(first, second)
    assert resampler.flush().shape == (0, 1)
