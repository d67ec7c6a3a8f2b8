"""Levels drawn for training."""

from __future__ import annotations

import pytest
import torch

from sese.nn.policies.sample import random_levels, rest, sandwich, switch_levels


@pytest.mark.parametrize("rows", [1, 3, 16, 17])
def test_deal_keeps_the_shares(rows: int):
    shares, draws = (0.2, 0.2, 0.2, 0.4), 400
    generator = torch.Generator().manual_seed(0)
    counts = torch.stack(
        [torch.bincount(random_levels(rows, shares, generator), minlength=4) for _ in range(draws)]
    ).double()
    assert (counts.sum(1) == rows).all()
    assert ((counts - rows * torch.tensor(shares)).abs() < 1 + 1e-6).all(), "each as near as whole rows allow"
    assert (counts.mean(0) / rows - torch.tensor(shares)).abs().max() < 0.05, "right on average"


def test_deal_repeats_and_keeps_levels_together():
    first, again, other = (
        random_levels(5, (0.5, 0.5), torch.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 3)
    )
    assert first == again
    assert {tuple(first), tuple(other)} == {(0, 0, 1, 1, 1), (0, 0, 0, 1, 1)}


def test_deal_leaves_out_a_share_of_zero():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        assert set(random_levels(5, (0.0, 1.0, 0.0), generator).tolist()) == {1}


def test_sandwich_is_widest_one_between_and_narrowest():
    generator = torch.Generator().manual_seed(0)
    drawn = [sandwich(5, generator) for _ in range(50)]
    assert all((choice[0], choice[-1], len(choice)) == (4, 0, 3) for choice in drawn)
    assert {choice[1] for choice in drawn} == {1, 2, 3}
    assert sandwich(3, generator) == [2, 1, 0]
    assert sandwich(2, generator) == [1, 0]
    assert sandwich(1, generator) == [0]


def test_hand_over_keeps_the_shares_on_both_sides_of_one_frame() -> None:
    levels = torch.tensor([[0], [0], [1], [2], [3]])
    moved = set()
    for seed in range(20):
        given = switch_levels(levels, 9, torch.Generator().manual_seed(seed))
        assert given.shape == (5, 9)
        changed = (given[:, 1:] != given[:, :-1]).any(0)
        assert changed.sum() <= 1
        assert torch.equal(given[:, 0], levels[:, 0])
        assert torch.equal(given[:, -1].sort().values, levels[:, 0])
        moved |= set(changed.nonzero().flatten().tolist())
    assert len(moved) > 4, "the frame is drawn"


@pytest.mark.parametrize("frames", [4, 9, 60])
def test_rest_is_one_stretch_inside_of_at_most_half(frames: int) -> None:
    levels = torch.tensor([[0], [2], [1]])
    stretches = set()
    for seed in range(60):
        drawn = rest(levels, frames, torch.Generator().manual_seed(seed))
        assert torch.equal(drawn, rest(levels, frames, torch.Generator().manual_seed(seed)))
        assert drawn.shape == (3, frames)
        resting = (drawn == -1).all(0)
        assert torch.equal(resting, (drawn == -1).any(0)), "all rows together"
        assert torch.equal(drawn[:, ~resting], levels.expand(-1, frames)[:, ~resting])
        assert 1 <= resting.sum() <= frames // 2
        assert not resting[[0, -1]].any()
        assert resting.diff().sum() == 2
        stretches.add(tuple(resting.tolist()))
    assert len(stretches) >= min(3, frames // 2), "it is drawn"
    assert levels.flatten().tolist() == [0, 2, 1]
