"""Resampling between any two rates: length, place, delay, and no difference by how a signal is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.drawn import chunkings, cut, made, seeds
from sese.audio.polyphase import REACH_SECONDS, ShortResampler, ready_samples
from sese.audio.resample import Resampler

FILTERS = {"short": ShortResampler, "long": Resampler}
USUAL = [4000, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000]
ANY = st.sampled_from(USUAL) | st.integers(4000, 192000)
# Short filters have taps for each place between two samples, which take seconds at rates of no common factor.
PAIRS = st.tuples(st.sampled_from(USUAL), st.sampled_from(USUAL)) | st.tuples(
    st.integers(40, 1920), st.integers(40, 1920)
).map(lambda pair: (100 * pair[0], 100 * pair[1]))


def resampled(kind: type, source: int, target: int, signal: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """``[frame, channel]`` at `target`, in as many chunks."""
    filter = kind(source, target, signal.shape[1])
    parts = [filter.feed(signal[chunk]) for chunk in cut(len(signal), sizes)]
    return np.concatenate([*parts, filter.flush()])


@pytest.mark.parametrize("name", FILTERS)
@given(pair=PAIRS, seed=seeds, channels=st.integers(1, 8), time=st.integers(0, 3000), sizes=chunkings())
def test_length_is_exact_and_chunks_do_not_matter(
    name: str, pair: tuple[int, int], seed: int, channels: int, time: int, sizes: tuple[int, ...]
) -> None:
    source, target = pair
    signal = made("noise", seed, channels, time).T
    whole = resampled(FILTERS[name], source, target, signal, (1 << 20,))
    assert whole.shape == (-(-time * target // source), channels)
    parts = resampled(FILTERS[name], source, target, signal, sizes)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


@given(source=ANY, target=ANY, time=st.integers(0, 2000), channels=st.integers(1, 8))
def test_long_filters_take_any_rates(source: int, target: int, time: int, channels: int) -> None:
    made_of = resampled(Resampler, source, target, np.full((time, channels), 0.5, np.float32), (777,))
    assert made_of.shape == (-(-time * target // source), channels)
    assert np.isfinite(made_of).all()
    assert np.abs(made_of).max(initial=0) < 0.75  # a step rings by a fifth and less


@pytest.mark.parametrize("name", FILTERS)
@given(pair=PAIRS, share=st.floats(0.01, 0.3))
def test_a_tone_stays_in_its_place(name: str, pair: tuple[int, int], share: float) -> None:
    source, target = pair
    frequency = share * min(source, target)
    if name == "short":
        frequency = min(frequency, min(source, target) / 2 - 1100)  # what they pass
    tones = [
        np.sin(2 * np.pi * frequency * np.arange(rate // 10) / rate)[:, None] for rate in (source, target)
    ]
    made_of = resampled(FILTERS[name], source, target, tones[0].astype(np.float32), (100,))
    inner = slice(target // 40, len(tones[1]) - target // 40)
    if frequency > 0:
        np.testing.assert_allclose(made_of[: len(tones[1])][inner], tones[1][inner], atol=4e-3)


@given(pair=PAIRS, sizes=chunkings())
def test_short_filters_wait_for_what_they_say(pair: tuple[int, int], sizes: tuple[int, ...]) -> None:
    source, target = pair
    filter, fed, returned = ShortResampler(source, target, 1), 0, 0
    for chunk in cut(2000, sizes):
        fed += chunk.stop - chunk.start
        returned += len(filter.feed(np.zeros((chunk.stop - chunk.start, 1), np.float32)))
        assert returned == ready_samples(np.array(fed), source, target)
        assert fed / source - returned / target < REACH_SECONDS + 1 / source + 1 / target
