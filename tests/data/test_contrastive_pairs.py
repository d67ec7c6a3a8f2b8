"""Pairs of mixtures: what they share, what they do not, and that they depend on (seed, index) alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sese.data.contrastive_pairs import EXAMPLES_PER_CYCLE, ContrastivePairSampler
from sese.data.mix_config import CHANCES
from sese.data.mixing import MixConfig, Mixer

# Quiet enough that no peak is scaled.
QUIET = MixConfig(seconds=0.5, snr_db=(-5.0, 5.0), level_dbfs=(-44.0, -40.0))
PLAIN = replace(QUIET.without_augmentation(), level_dbfs=QUIET.level_dbfs)
COUNT = 10 * EXAMPLES_PER_CYCLE


@pytest.fixture(scope="module")
def mixer(banks) -> Mixer:
    return Mixer(PLAIN, *banks, seed=4, sampler=ContrastivePairSampler)


def test_positive_pairs_share_the_target_alone(mixer: Mixer):
    made = mixer(range(COUNT))
    for row in range(0, COUNT, EXAMPLES_PER_CYCLE):
        assert torch.equal(made.clean[row], made.clean[row + 1])
        noise = made.noisy[row : row + 2] - made.clean[row : row + 2]
        assert (noise[0] - noise[1]).abs().max() > 1e-3
        assert abs(made.snr_db[row] - made.snr_db[row + 1]) > 1e-3


def test_negative_pairs_share_the_noise_alone(mixer: Mixer):
    made = mixer(range(COUNT))
    for row in range(2, COUNT, EXAMPLES_PER_CYCLE):
        noise = made.noisy[row : row + 2] - made.clean[row : row + 2]
        torch.testing.assert_close(noise[0], noise[1], atol=1e-6, rtol=0)
        torch.testing.assert_close(made.snr_db[row], made.snr_db[row + 1])
        assert (made.clean[row] - made.clean[row + 1]).abs().max() > 1e-3


def test_examples_depend_on_seed_and_index_alone(banks, mixer: Mixer):
    whole = mixer(range(COUNT))
    for index in (0, 1, 3, 6, COUNT - 1):
        alone = mixer([index])
        torch.testing.assert_close(alone.noisy[0], whole.noisy[index], atol=1e-7, rtol=0)
        torch.testing.assert_close(alone.clean[0], whole.clean[index], atol=1e-7, rtol=0)
    other = Mixer(PLAIN, *banks, seed=5, sampler=ContrastivePairSampler)(range(2))
    assert not torch.equal(other.noisy, whole.noisy[:2])


def test_what_is_done_to_both_sides_is_done_to_both_examples(banks):
    everything = replace(QUIET, **dict.fromkeys(CHANCES, 0.5))
    draw = ContrastivePairSampler(everything, *banks, seed=1)
    noises = ("noise", "snr_db", "babble", "colour", "drop_in", "no_noise")
    speech = ("speech", "turns", "rir", "silent")
    for pair in range(20):
        first, second = draw(2 * pair), draw(2 * pair + 1)
        own = noises if pair % 2 == 0 else speech
        assert any(getattr(first, name) != getattr(second, name) for name in own)
        assert replace(second, **{name: getattr(first, name) for name in own}) == first
