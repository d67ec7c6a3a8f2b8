"""Streams of every bundled model at every budget: any chunks, any rate, any channels, one result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.drawn import KINDS, chunkings, cut, made, opened, rates, seeds
from sese.runtime.artefact import bundled_models
from sese.runtime.batch import Batch
from sese.runtime.budget import Budget, level_name
from sese.runtime.card import Card
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

FEWER = max(1, settings().max_examples // 2)


def in_chunks(stream: Stream, audio: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the output of a stream for audio [channel, time] in chunks; check the delay of each."""
    parts, fed, returned = [], 0, 0
    for chunk in cut(audio.shape[1], sizes):
        parts.append(stream.feed(audio[:, chunk]))
        fed, returned = chunk.stop, returned + parts[-1].shape[1]
        assert fed - returned < stream.latency_samples
    return np.concatenate([*parts, stream.flush()], axis=1)


def budgets_of(card: Card) -> st.SearchStrategy[Budget]:
    """Every way to say how much a model may run."""
    fixed = [f"fixed:{level_name(card, level)}" for level in range(len(card.levels))]
    said = [1.0, *fixed] + ["auto"] * 2 * card.router
    if card.gates:
        return st.sampled_from(said)
    said += ["threshold", "threshold:8"]
    return st.sampled_from(said) | st.floats(card.levels[0].utilization, 1.0)


@pytest.mark.parametrize("name", bundled_models())
@given(data=st.data(), kind=st.sampled_from(KINDS), seed=seeds, sizes=chunkings())
def test_any_chunks_give_what_a_file_gives(
    name: str, data: st.DataObject, kind: str, seed: int, sizes: tuple[int, ...]
) -> None:
    artefact = opened(name)
    card = artefact.card
    budget = data.draw(budgets_of(card), "budget")
    channels, time = data.draw(st.integers(1, 8), "channels"), data.draw(st.integers(0, 6000), "time")
    linked = data.draw(st.booleans(), "linked")
    audio = made(kind, seed, channels, time)
    stream = Stream(artefact, EnhanceOptions(budget, linked=linked), card.sample_rate, channels)
    whole = np.concatenate([stream.feed(audio), stream.flush()], axis=1)
    used = stream.trace
    assert whole.shape == audio.shape
    assert np.isfinite(whole).all()
    assert len(used) == (-(-(time + card.lookahead_samples) // card.hop_length) if time else 0)

    stream.reset()
    parted = in_chunks(stream, audio, sizes)
    np.testing.assert_array_equal(stream.trace, used)
    np.testing.assert_allclose(parted, whole, atol=1e-4)


@settings(max_examples=3 * FEWER)
@given(
    data=st.data(),
    name=st.sampled_from(bundled_models()),
    rate=rates,
    latency=st.sampled_from(["low", "high"]),
    band_above=st.sampled_from(["follow", "drop"]),
    wet=st.sampled_from([0.0, 0.4, 1.0]),
    seed=seeds,
    sizes=chunkings(),
)
def test_any_rate(data, name, rate, latency, band_above, wet, seed, sizes) -> None:
    artefact = opened(name)
    if latency == "low":
        rate = -(-rate // 50) * 50  # filters for rates without a common factor take seconds to make
    budget = data.draw(budgets_of(artefact.card), "budget")
    channels, time = data.draw(st.integers(1, 3), "channels"), data.draw(st.integers(0, rate // 4), "time")
    audio = made("bursts", seed, channels, time)
    options = EnhanceOptions(budget, mix=wet, band_above=band_above)
    stream = Stream(artefact, options, rate, channels, latency=latency, trace_seconds=None)
    whole = np.concatenate([stream.feed(audio), stream.flush()], axis=1)
    used = stream.trace
    assert whole.shape == audio.shape
    assert np.isfinite(whole).all()
    if wet == 0:
        np.testing.assert_array_equal(whole, audio)
    stream.reset()
    parted = in_chunks(stream, audio, sizes)
    if np.array_equal(stream.trace, used):  # resampled to rounding, a router may be of two minds
        np.testing.assert_allclose(parted, whole, atol=1e-4)
    else:
        assert np.mean(stream.trace != used) < 0.1


@settings(max_examples=FEWER)
@given(data=st.data(), name=st.sampled_from(bundled_models()), seed=seeds, sizes=chunkings())
def test_a_batch_gives_what_streams_give(
    data: st.DataObject, name: str, seed: int, sizes: tuple[int, ...]
) -> None:
    artefact = opened(name)
    wanted = data.draw(
        st.lists(st.tuples(budgets_of(artefact.card), st.integers(1, 3)), min_size=1, max_size=4), "members"
    )
    batch = Batch(artefact)
    members = [batch.add(channels=channels, budget=budget) for budget, channels in wanted]
    signals = [made("speech", seed + n, channels, 3000) for n, (_, channels) in enumerate(wanted)]
    parts: list[list[np.ndarray]] = [[] for _ in members]
    for chunk in cut(3000, sizes):
        ready = batch.feed({m: signal[:, chunk] for m, signal in zip(members, signals, strict=True)})
        for member, part in zip(members, parts, strict=True):
            part.append(ready[member])
    ends = batch.flush(members)
    for member, part, signal, (budget, channels) in zip(members, parts, signals, wanted, strict=True):
        stream = Stream(artefact, EnhanceOptions(budget), channels=channels)
        alone = np.concatenate([stream.feed(signal), stream.flush()], axis=1)
        np.testing.assert_allclose(np.concatenate([*part, ends[member]], axis=1), alone, atol=1e-4)
        assert member.utilization == pytest.approx(stream.utilization)
