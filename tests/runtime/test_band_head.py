"""The network above a model's band: its values, its gains, and what it may never do."""

from __future__ import annotations

import numpy as np
import pytest

from sese.runtime.band_evidence import (
    BANDS,
    BELOW,
    FLOOR,
    LOWEST,
    LOWEST_EXCESS,
    RISE,
    WIDTH,
    BandEvidence,
    SteadyNoise,
)
from sese.runtime.band_head import BandHead, packaged

SECONDS = 0.004


def powers(points: int, channels: int = 1, bands: int = BANDS, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Random mean powers above, and of a model's input and output."""
    random = np.random.default_rng(seed)
    above, heard = (10 ** random.uniform(-6, -1, (points, channels, count)) for count in (bands, BELOW))
    left = heard * 10 ** random.uniform(-2, 0, heard.shape)
    return tuple(each.astype(np.float32) for each in (above, heard, left))


def test_values_are_the_same_at_any_level() -> None:
    given = powers(400)
    quiet, loud = (BandEvidence(SECONDS)(*(each * level for each in given)) for level in (1e-2, 1e3))
    np.testing.assert_allclose(quiet, loud, atol=2e-3)
    assert quiet.shape == (400, 1, WIDTH)
    assert quiet.std(axis=(0, 1)).min() > 0.1


@pytest.mark.parametrize("bands", [1, 3, 9, 10])
def test_missing_bands_are_silent(bands: int) -> None:
    given = powers(50, bands=bands)
    values = BandEvidence(SECONDS)(*given)
    np.testing.assert_array_equal(values[..., 2 * BELOW + bands : FLOOR], LOWEST)
    np.testing.assert_array_equal(values[..., FLOOR + bands :], LOWEST_EXCESS)
    assert (values[..., FLOOR : FLOOR + bands] > LOWEST_EXCESS).any()
    assert (values[..., 2 * BELOW : 2 * BELOW + bands] > LOWEST).any()
    assert BandHead(SECONDS)(*given).shape == (50, 1, bands)


def noise_of(power: np.ndarray) -> np.ndarray:
    """Return the estimate of steady noise in dB, for powers ``[point]`` of one band."""
    found = SteadyNoise(SECONDS)(power.astype(np.float32)[:, None, None])[:, 0, 0]
    return np.asarray(10 * np.log10(found))


def steady_powers() -> np.ndarray:
    """Return powers of steady noise at -60 dB, ``[point]``."""
    return np.asarray(1e-6 * np.random.default_rng(1).chisquare(16, 1000) / 16)


def test_steady_noise_is_found_under_louder_sounds() -> None:
    noise = steady_powers()
    steady = noise_of(noise)
    assert abs(steady[250:] + 60).max() < 3
    sound = noise.copy()
    sound[500:625] *= 1000  # half a second, 30 dB louder
    louder = noise_of(sound)
    np.testing.assert_allclose(louder[:500], steady[:500])
    assert (louder - steady).max() < 1.1 * 0.5 * 10 * RISE + 2
    np.testing.assert_allclose(louder[725:], steady[725:], atol=1)


def test_silence_is_no_noise() -> None:
    noise = steady_powers()
    silent = noise.copy()
    silent[:300] = 0
    np.testing.assert_allclose(noise_of(silent)[500:], noise_of(noise)[500:], atol=1)
    unending = SteadyNoise(SECONDS)
    for _ in range(60):  # a minute
        assert np.isfinite(unending(np.zeros((250, 1, 1), np.float32))).all()


def test_any_division_gives_the_same_gains() -> None:
    given = powers(500, channels=2)
    whole = BandHead(SECONDS)(*given)
    head, parts, start = BandHead(SECONDS), [], 0
    for count in np.resize([1, 4, 64, 3], 500):
        parts.append(head(*(each[start : start + count] for each in given)) if start < 500 else whole[:0])
        start += count
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert whole.std() > 0.01


def test_channels_are_apart_and_reset_forgets() -> None:
    given = powers(200, channels=2)
    head = BandHead(SECONDS)
    both = head(*given)
    for channel in (0, 1):
        head.reset()
        alone = head(*(each[:, channel : channel + 1] for each in given))
        np.testing.assert_allclose(alone, both[:, channel : channel + 1], atol=1e-6)


def test_a_model_that_passes_all_passes_every_band() -> None:
    above, heard, _ = powers(300)
    np.testing.assert_array_equal(BandHead(SECONDS)(above, heard, heard), 1)


def test_silence_and_the_loudest_sound_give_gains() -> None:
    head = BandHead(SECONDS)
    for level in (0, 1e12, 0, 1e-30, 1):
        gains = head(*(np.full((30, 1, count), level, np.float32) for count in (BANDS, BELOW, BELOW)))
        assert np.isfinite(gains).all()
        assert ((gains >= 0) & (gains <= 1)).all()


def test_the_network_is_small() -> None:
    assert sum(each.size for each in packaged().values()) < 20_000
