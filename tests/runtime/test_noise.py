"""The measure of noise: what is lower in the quiet parts, whatever the speech."""

from __future__ import annotations

import numpy as np
import pytest

from sese.runtime.noise import NoiseMeter

RATE = 16000


def measured(before: np.ndarray, after: np.ndarray, late: int = 0) -> float | None:
    """Feed in blocks; the enhanced signal comes `late` samples after its input."""
    meter = NoiseMeter(RATE)
    for start in range(0, len(before) + late, 1000):
        begin, end = max(0, start - late), max(0, start + 1000 - late)
        meter.add(before[start : start + 1000], after[begin:end])
    return meter.reduction_db()


@pytest.mark.parametrize("late", [0, 512, 3000])
@pytest.mark.parametrize("channels", [1, 2])
def test_speech_does_not_count(late: int, channels: int) -> None:
    """Noise 12 dB lower, bursts at twice their level."""
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 0.01, (5 * RATE, channels)).astype(np.float32)
    speech = draw.normal(0, 0.3, noise.shape).astype(np.float32)
    speech[np.arange(len(speech)) // 8000 % 2 == 0] = 0
    assert measured(noise + speech, 0.25 * noise + 2 * speech, late) == pytest.approx(12.04, abs=0.2)


def test_limits() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE, 1)).astype(np.float32)
    assert measured(noise, noise) == pytest.approx(0, abs=1e-6)
    assert measured(noise, 0 * noise) == 60
    assert measured(0 * noise, noise) is None  # silence has no noise
    assert measured(noise[:4000], noise[:4000]) is None  # too short
