from __future__ import annotations

import math

import numpy as np
import pytest

from sese.evaluation import summary


def test_bootstrap_repeats_and_covers() -> None:
    values = np.random.default_rng(1).normal(3.0, 1.0, 100)
    first = summary.bootstrap_mean(values)
    assert first == summary.bootstrap_mean(values)
    assert first["mean"] == pytest.approx(values.mean())
    # The interval of a mean of 100 normal values is about 2 * 1.96 / 10 wide.
    assert first["high"] - first["low"] == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)
    assert first["low"] < first["mean"] < first["high"]
    assert first != summary.bootstrap_mean(values, seed=1)


def test_scores_that_are_not_finite_are_counted() -> None:
    result = summary.bootstrap_mean([1.0, math.nan, 3.0, math.inf])
    assert (result["mean"], result["count"], result["failures"]) == (2.0, 2, 2)
    nothing = summary.bootstrap_mean([math.nan])
    assert math.isnan(nothing["mean"])
    assert nothing["failures"] == 1


def test_improvements_are_paired() -> None:
    noisy = [{"stoi": 0.5}, {"stoi": 0.9}, {"stoi": math.nan}]
    enhanced = [{"stoi": 0.6}, {"stoi": 1.0}, {"stoi": 0.7}]
    result = summary.improvements(enhanced, noisy, ["stoi"])["stoi"]
    # Every file gains 0.1, so the interval has no width, however different the files are.
    assert [result[key] for key in ("mean", "low", "high")] == pytest.approx([0.1, 0.1, 0.1])
    assert (result["count"], result["failures"]) == (2, 1)


def test_input_snrs_are_kept_apart_or_binned() -> None:
    few = [{"snr_db": snr, "stoi": snr / 10} for snr in (2.5, 7.5, 2.5)] + [{"snr_db": None, "stoi": 9.0}]
    groups = summary.by_input_snr(few, ["stoi"])
    assert [(group["snr_db"], group["files"]) for group in groups] == [(2.5, 2), (7.5, 1)]
    many = [{"snr_db": float(snr), "stoi": 0.0} for snr in range(-3, 12)]
    groups = summary.by_input_snr(many, ["stoi"])
    assert [(group["snr_db"], group["files"]) for group in groups] == [(-5, 3), (0, 5), (5, 5), (10, 2)]
