"""Metrics: what they must not see, what they must, and their bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.drawn import made, seeds, speech
from sese.core.errors import InputError
from sese.evaluation.metrics import METRICS, estoi, pesq_wb, predicted, sdr, si_sdr, stoi

kinds = st.sampled_from(["noise", "bursts", "speech", "tone"])
gains = st.floats(1e-3, 1e3)
snrs = st.floats(-20, 60)


def pair(kind: str, seed: int, snr_db: float, time: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """A reference and an estimate at this SNR, float64 [time]."""
    reference = made(kind, seed, 1, time)[0].astype(np.float64) + 1e-3 * made("noise", seed + 1, 1, time)[0]
    error = np.random.default_rng(seed + 2).normal(size=time)
    return reference, reference + error * np.std(reference) / np.std(error) * 10 ** (-snr_db / 20)


@given(
    kind=kinds,
    seed=seeds,
    snr=snrs,
    gain=gains,
    other=gains,
    offset=st.floats(-1, 1),
    sign=st.sampled_from([1, -1]),
)
def test_si_sdr_sees_no_scale_no_sign_and_no_mean(
    kind: str, seed: int, snr: float, gain: float, other: float, offset: float, sign: int
) -> None:
    reference, estimate = pair(kind, seed, snr)
    score = si_sdr(reference, estimate)
    assert si_sdr(gain * reference + offset, sign * other * estimate - offset) == pytest.approx(
        score, abs=1e-3
    )
    assert si_sdr(estimate, reference) == pytest.approx(score, abs=1e-6), "a cosine has no direction"


@given(kind=kinds, seed=seeds, snr=snrs, gain=gains)
def test_sdr_is_the_snr_and_sees_the_scale(kind: str, seed: int, snr: float, gain: float) -> None:
    reference, estimate = pair(kind, seed, snr)
    added = 10 * math.log10((reference @ reference) / np.sum((estimate - reference) ** 2))
    assert sdr(reference, estimate) == pytest.approx(added)
    assert sdr(gain * reference, gain * estimate) == pytest.approx(added, abs=1e-6)
    zero_mean = reference - reference.mean()
    assert sdr(zero_mean, 2 * zero_mean) == pytest.approx(0, abs=1e-9)


@given(kind=kinds, seed=seeds, time=st.integers(1, 300), gain=gains)
def test_equal_silent_and_broken_signals_have_the_values_that_are_told(
    kind: str, seed: int, time: int, gain: float
) -> None:
    reference, _ = pair(kind, seed, 0, time)
    assert sdr(reference, reference) == math.inf
    if time > 2:
        assert si_sdr(reference, gain * reference) > 200
    silent = np.zeros(time)
    for measure in (si_sdr, sdr):
        assert math.isnan(measure(reference, silent))
        assert math.isnan(measure(silent, reference))
        broken = reference.copy()
        broken[seed % time] = np.nan
        assert math.isnan(measure(reference, broken))
        with pytest.raises(InputError, match="shapes"):
            measure(reference, reference[1:])


@given(seed=seeds, weak=st.floats(-10, 20), by=st.floats(1, 20))
def test_more_noise_is_never_better(seed: int, weak: float, by: float) -> None:
    reference, strong = pair("noise", seed, weak)
    _, faint = pair("noise", seed, weak + by)
    assert si_sdr(reference, faint) > si_sdr(reference, strong)
    assert sdr(reference, faint) == pytest.approx(sdr(reference, strong) + by, abs=1e-6)


@settings(max_examples=max(1, settings().max_examples // 12))
@given(seed=seeds, snr=st.floats(-5, 30), gain=st.floats(0.05, 2))
def test_perceptual_scores_stay_in_their_bounds(seed: int, snr: float, gain: float) -> None:
    reference = speech()[8000:40000].astype(np.float64)
    error = np.random.default_rng(seed).normal(size=len(reference))
    estimate = reference + error * np.std(reference) / np.std(error) * 10 ** (-snr / 20)
    for measure in (stoi, estoi):
        score = measure(reference, estimate, 16000)
        assert -0.2 < score < 1
        assert measure(reference, reference, 16000) == pytest.approx(1, abs=1e-6)
        assert measure(reference, gain * estimate, 16000) == pytest.approx(score, abs=2e-3)
        assert measure(reference, estimate, 16000) == score
    assert 1 <= pesq_wb(reference, estimate, 16000) < pesq_wb(reference, reference, 16000) <= 4.65
    assert 1 <= predicted(estimate, 16000) <= 4.65
    assert set(METRICS) >= {"pesq", "stoi", "si_sdr"}
