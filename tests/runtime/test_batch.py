"""Streams in one call: each gets what it would get alone, whoever else comes and goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.test_stream import through
from runtime.tiny_model import HOP
from sese.core.errors import InputError
from sese.runtime.batch import Batch, Member
from sese.runtime.enhancer import Enhancer

MODEL = "demucs-slim-small"
CASES: list[tuple[int, int, float | str]] = [
    (16000, 1, 1.0),
    (16000, 2, "fixed:0.25"),
    (48000, 1, "fixed:0.25"),
    (44100, 2, "threshold"),
    (8000, 1, "threshold"),
    (16000, 1, "auto"),
    (16000, 2, 0.4),
    (48000, 2, "held:0.4"),
    (48000, 1, "fixed:1"),
]


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer(MODEL)


def signal(rate: int, channels: int, seed: int, seconds: float = 0.8) -> np.ndarray:
    """Noise whose loudness changes, so that levels do."""
    draw = np.random.default_rng(seed)
    frames = round(seconds * rate)
    loudness = np.interp(np.arange(frames), np.linspace(0, frames, 9), draw.uniform(0.001, 0.3, 9))
    return (loudness * draw.normal(0, 1, (channels, frames))).astype(np.float32)


def test_each_gets_what_it_would_get_alone(enhancer: Enhancer) -> None:
    batch = enhancer.batch()
    audio = {
        batch.add(rate, channels, budget): (signal(rate, channels, i), (rate, channels, budget))
        for i, (rate, channels, budget) in enumerate(CASES)
    }
    assert len(batch) == len(CASES)
    got: dict[Member, list[np.ndarray]] = {member: [] for member in audio}
    taken = dict.fromkeys(audio, 0)
    draw = np.random.default_rng(0)
    while any(taken[member] < audio[member][0].shape[1] for member in audio):
        chunks = {}
        for member, (whole, (rate, *_)) in audio.items():
            if draw.random() < 0.7:  # not every stream has something each time, nor the same amount
                size = int(draw.integers(0, rate // 10))
                chunks[member] = whole[:, taken[member] : taken[member] + size]
                taken[member] += size
        for member, ready in batch.feed(chunks).items():
            got[member].append(ready)
    for member, ready in batch.flush(audio).items():
        got[member].append(ready)
    for member, (whole, (rate, channels, budget)) in audio.items():
        alone = enhancer.stream(rate, channels, budget)
        expected = through(alone, whole, [rate // 50])
        np.testing.assert_allclose(np.concatenate(got[member], axis=1), expected, atol=1e-5)
        assert member.utilization == pytest.approx(alone.utilization, rel=1e-5)
        assert member.latency_samples == alone.latency_samples


def test_come_and_go(enhancer: Enhancer) -> None:
    """A stream's place is cleared for the next one; those that stay notice nothing."""
    batch = enhancer.batch()
    stays = batch.add(budget="fixed:0.5")
    whole = signal(16000, 1, 3)[0]
    parts, held = [], []
    for turn, start in enumerate(range(0, len(whole), 800)):
        guest = batch.add(channels=1 + turn % 3, budget="fixed:0.5")
        mine, other = whole[start : start + 800], signal(16000, guest.channels, turn, 0.1)
        ready = batch.feed({guest: other, stays: mine})
        parts.append(ready[stays])
        first = Enhancer.stream(enhancer, 16000, guest.channels, "fixed:0.5").feed(other)
        np.testing.assert_allclose(ready[guest], first, atol=1e-5)
        held.append(len(batch))
        batch.remove(guest)
    parts += batch.flush([stays]).values()
    expected = through(enhancer.stream(budget="fixed:0.5"), whole, [800])
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-5)
    assert set(held) == {2}
    assert all(len(state) <= 16 for state in batch._states.values())  # places are used again


def test_budget_changes_and_flush_starts_afresh(enhancer: Enhancer) -> None:
    batch = enhancer.batch()
    member = batch.add(budget="fixed:0.125")
    whole = signal(16000, 1, 5)[0]
    first = batch.feed({member: whole})[member]
    member.budget = 1.0
    second = batch.flush([member])[member]
    stream = enhancer.stream(budget="fixed:0.125")
    np.testing.assert_allclose(first, stream.feed(whole), atol=1e-5)
    stream.budget = 1.0
    np.testing.assert_allclose(second, stream.flush(), atol=1e-5)
    member.budget = stream.budget = "threshold"
    again = np.concatenate([batch.feed({member: whole})[member], batch.flush([member])[member]])
    np.testing.assert_allclose(again, through(stream, whole, [500]), atol=1e-5)
    member.reset_statistics()
    assert np.isnan(member.utilization)


def test_limit_holds_for_all(tiny: Path) -> None:
    batch = Enhancer(tiny, max_mmacs=0.5).batch()
    members = [batch.add(budget=budget) for budget in (1.0, "threshold", 0.125)]
    batch.feed({member: np.ones(10 * HOP) for member in members})
    assert [member.utilization for member in members] == [0.5, 0.5, 0.125]


def test_bad_use(enhancer: Enhancer) -> None:
    batch, other = enhancer.batch(), enhancer.batch()
    member = batch.add()
    with pytest.raises(InputError, match="not of this batch"):
        other.feed({member: np.zeros(10)})
    whole = signal(16000, 1, 7)[0]
    second = batch.add()
    parts = [batch.feed({member: whole[:1000]})[member]]
    with pytest.raises(InputError, match="nan at sample"):
        batch.feed({member: whole[1000:], second: np.full(10, np.nan)})  # nothing is taken of either
    parts += [batch.feed({member: whole[1000:]})[member], batch.flush([member])[member]]
    np.testing.assert_allclose(np.concatenate(parts), through(enhancer.stream(), whole, [100]), atol=1e-5)
    batch.remove(member)
    with pytest.raises(InputError, match="not of this batch"):
        batch.remove(member)
    with pytest.raises(InputError, match="budget is 2"):
        batch.add(budget=2)
    with pytest.raises(InputError, match="max_rtf"):
        Enhancer(MODEL, max_rtf=0.5).batch()
    assert len(batch) == 1
    assert batch.feed({}) == {}
    assert isinstance(batch, Batch)
