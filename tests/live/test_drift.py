"""Clocks that do not agree: the delay holds, and nothing clicks."""

from __future__ import annotations

import numpy as np
import pytest

from sese.live.drift import Drift

RATE, CHUNK, WANTED = 16000, 256, 320


@pytest.mark.parametrize("millionths", [-300, 300])
def test_delay_holds_for_an_hour(millionths: int) -> None:
    """Without it, what waits would grow or shrink by a second."""
    drift, chunk = Drift(WANTED, RATE, 1), np.zeros((CHUNK, 1), np.float32)
    waiting, most, least = float(WANTED + CHUNK), 0.0, 1e9
    for step in range(3600 * RATE // CHUNK):
        waiting += len(drift(chunk))
        waiting -= CHUNK * (1 - millionths * 1e-6)
        drift.see(round(waiting))
        if step > 60 * RATE // CHUNK:
            most, least = max(most, waiting), min(least, waiting)
    assert least > 0
    assert most < 2 * WANTED
    assert drift.corrected_samples == pytest.approx(3600 * RATE * 300e-6, rel=0.05)


def test_nothing_is_changed_where_clocks_agree() -> None:
    drift, chance = Drift(WANTED, RATE, 2), np.random.default_rng(0)
    for _ in range(1000):
        chunk = chance.normal(size=(CHUNK, 2)).astype(np.float32)
        np.testing.assert_array_equal(drift(chunk), chunk)
        drift.see(WANTED + int(chance.integers(-100, 1000)))


@pytest.mark.parametrize("waiting", [0, 10 * WANTED])
def test_a_tone_stays_a_tone(waiting: int) -> None:
    """No step between two samples is larger than the tone's own; some samples more or less come out."""
    drift = Drift(WANTED, RATE, 1)
    tone = np.sin(2 * np.pi * 300 / RATE * np.arange(RATE * 4))[:, None].astype(np.float32)
    out = []
    for start in range(0, len(tone), CHUNK):
        out.append(drift(tone[start : start + CHUNK]))
        drift.see(waiting)
    heard = np.concatenate(out)[:, 0]
    assert drift.corrected_samples > 150
    assert len(heard) - len(tone) == drift.corrected_samples * (1 if waiting == 0 else -1)
    assert np.abs(np.diff(heard)).max() < 1.01 * np.abs(np.diff(tone[:, 0])).max()
    window = np.hanning(RATE)
    spectrum = np.abs(np.fft.rfft(heard[-RATE:] * window))
    beside = np.delete(spectrum, np.arange(290, 311))
    assert 20 * np.log10(beside.max() / spectrum.max()) < -50
