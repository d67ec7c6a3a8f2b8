"""Mixtures: each is its number's alone, its SNR is what it says, and a resumed run misses none."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from properties.drawn import seeds
from sese.data.bank import Bank
from sese.data.batches import TrainBatches, stratified
from sese.data.labelled_pool import LabelledPool
from sese.data.mix_config import CHANCES
from sese.data.mixing import MixConfig, Mixer, Mixture, active_power
from sese.data.weighted_sampler import WeightedSampler

RATE = 16000
CONFIG = MixConfig(seconds=0.5)


def bank_of(lengths: list[int], groups: list[int], seed: int = 0, scale: float = 0.1) -> Bank:
    """Noise of these lengths, in these groups."""
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    samples = (rng.normal(0, scale, total).clip(-1, 1) * 32767).astype(np.int16)
    names = tuple(f"group{n}" for n in range(max(groups) + 1))
    starts = np.cumsum([0, *lengths[:-1]])
    paths = tuple(Path(f"{n}.wav") for n in range(len(lengths)))
    arrays = (np.array(values, np.int64) for values in (starts, lengths, groups))
    return Bank(samples, *arrays, names, paths, RATE)


@functools.cache
def banks() -> tuple[Bank, Bank]:
    return (
        bank_of([9000, 3000, 20000, 4000, 2500], [0, 0, 1, 1, 2]),
        bank_of([30000, 1700, 8000], [0, 1, 1], seed=1),
    )


@st.composite
def bank_shapes(draw: st.DrawFn) -> Bank:
    groups = draw(st.lists(st.integers(0, 4), min_size=1, max_size=12))
    present = sorted(set(groups))
    lengths = draw(st.lists(st.integers(1, 2000), min_size=len(groups), max_size=len(groups)))
    return bank_of(lengths, [present.index(group) for group in groups])


@given(
    bank=bank_shapes(),
    powers=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    u=st.floats(0, 1, exclude_max=True),
)
def test_every_recording_can_be_sampled_and_groups_are_known(
    bank: Bank, powers: tuple[float, float], u: float
) -> None:
    sampler = WeightedSampler(bank, *powers)
    count = len(bank)
    recording = sampler.sample(u)
    assert 0 <= recording < count
    assert bank.groups[sampler.sample_same_group(recording, u)] == bank.groups[recording]
    other = sampler.sample_other_group(recording, u)
    if len(set(bank.groups)) > 1:
        assert bank.groups[other] != bank.groups[recording]
    # The middle of what each takes of the line draws it: none is left out.
    middles = (sampler.edges[:-1] + sampler.edges[1:]) / 2 / sampler.edges[-1]
    assert sorted(sampler.sample(middle) for middle in middles) == list(range(count))
    # Groups weigh as their lengths to a power, and recordings within them likewise.
    weight = np.bincount(bank.groups, weights=bank.lengths) ** powers[0]
    share = np.diff(sampler.group_edges) / sampler.edges[-1]
    np.testing.assert_allclose(share, weight / weight.sum(), rtol=1e-9)


@settings(max_examples=max(1, settings().max_examples // 3))
@given(seed=st.integers(0, 2**62), wanted=st.lists(st.integers(0, 10**9), min_size=1, max_size=5))
def test_an_example_is_its_number_alone(seed: int, wanted: list[int]) -> None:
    """Whatever it is mixed with, in whatever order."""
    everything = MixConfig(seconds=0.3, **dict.fromkeys([c for c in CHANCES if c != "reverb"], 0.4))
    mixer = Mixer(everything, *banks(), seed=seed)
    together = mixer(wanted)
    for row, index in enumerate(wanted):
        alone = mixer([index])
        torch.testing.assert_close(alone.noisy[0], together.noisy[row], atol=1e-6, rtol=0)
        torch.testing.assert_close(alone.clean[0], together.clean[row], atol=1e-6, rtol=0)
        assert alone.snr_db[0] == pytest.approx(float(together.snr_db[row]), abs=1e-3)
    assert torch.isfinite(together.noisy).all()
    assert together.noisy.abs().max() <= 1
    assert together.clean.abs().max() <= 1


@given(seed=seeds, index=st.integers(0, 10**6), snr=st.floats(-20, 40))
def test_the_snr_is_what_was_asked_for(seed: int, index: int, snr: float) -> None:
    mixture = Mixer(CONFIG.without_augmentation(), *banks(), seed=seed)([index], [snr])
    assert float(mixture.snr_db[0]) == pytest.approx(snr, abs=0.01)
    noise = (mixture.noisy - mixture.clean)[0].square().mean()
    speech = active_power(mixture.clean[0], RATE)[0]
    assert float(10 * torch.log10(speech / noise)) == pytest.approx(snr, abs=0.05)


class Numbers:
    """Makes nothing but the numbers of the examples, as a mixer is asked for them."""

    def __call__(self, indices: range) -> Mixture:
        return Mixture(torch.tensor(list(indices)), torch.empty(0), torch.empty(0))


@given(
    size=st.integers(1, 5), start=st.integers(0, 100), world=st.integers(1, 4), steps=st.integers(0, 12),
    stop=st.integers(0, 12),
)  # fmt: skip
def test_a_resumed_run_has_every_example_once(
    size: int, start: int, world: int, steps: int, stop: int
) -> None:
    """Over all processes, stopped at any step: as if it never had been."""
    stop = min(stop, steps)
    seen = []
    for rank in range(world):
        batches = TrainBatches(Numbers(), size, start, rank, world)
        whole = [next(batches).noisy.tolist() for _ in range(steps)]
        first = TrainBatches(Numbers(), size, start, rank, world)
        parts = [next(first).noisy.tolist() for _ in range(stop)]
        again = TrainBatches(Numbers(), size, first.next_example, rank, world)
        parts += [next(again).noisy.tolist() for _ in range(steps - stop)]
        assert parts == whole
        seen += [number for batch in whole for number in batch]
    assert sorted(seen) == list(range(start, start + size * world * steps))


@given(count=st.integers(1, 9), first=st.integers(0, 100))
def test_a_pool_goes_round_with_each_example_once(count: int, first: int) -> None:
    mixer = Mixer(MixConfig(seconds=0.05), *banks(), seed=3)
    pool = LabelledPool(mixer, torch.arange(count).float())
    round_ = pool(range(first, first + count))
    assert sorted(round_.label.tolist()) == list(range(count))
    expected = mixer([int(label) for label in round_.label])
    assert torch.equal(round_.noisy, expected.noisy)


@given(low=st.floats(-60, 60), width=st.floats(0, 60), count=st.integers(1, 300), seed=seeds)
def test_stratified_values_are_one_of_each_part(low: float, width: float, count: int, seed: int) -> None:
    values = stratified(low, low + width, count, seed)
    np.testing.assert_allclose(np.sort(values), low + width * (np.arange(count) + 0.5) / count, atol=1e-9)
