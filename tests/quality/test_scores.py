"""Measures against SciPy, and intervals that keep speakers together."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from sese.quality.scores import measure, mse, pearson, ranks, spearman


def test_measures_are_those_of_scipy():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 12, 80).astype(float)  # with ties
    b = a + rng.normal(0, 5, 80)
    assert pearson(a, b) == pytest.approx(scipy.stats.pearsonr(a, b).statistic)
    assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    np.testing.assert_array_equal(ranks(a), scipy.stats.rankdata(a))
    assert mse(a, b) == pytest.approx(np.square(a - b).mean())
    assert pearson(np.ones(5), np.arange(5.0)) == 0


def test_intervals_are_over_speakers():
    """Clips that repeat a speaker add nothing: the interval is that of the speakers alone."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=20)
    made = true + rng.normal(0, 0.5, 20)
    alone = measure(made, true, np.arange(20))
    many = measure(np.repeat(made, 10), np.repeat(true, 10), np.repeat(np.arange(20), 10))
    for name in alone:
        for part in ("value", "low", "high"):
            assert many[name][part] == pytest.approx(alone[name][part])
        assert alone[name]["low"] < alone[name]["value"] < alone[name]["high"]


def test_a_difference_to_itself_is_nothing():
    true = np.random.default_rng(0).normal(size=30)
    difference = measure(true * 2, true, np.arange(30) // 3, against=true * 2)
    assert all(value == 0 for each in difference.values() for value in each.values())
