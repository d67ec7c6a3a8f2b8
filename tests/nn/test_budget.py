"""The price that holds an average, on scores alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sese.nn.policies.budget import MEMORY, budget
from sese.nn.policies.choice import best

USED = torch.tensor([0.125, 0.25, 0.5, 1.0])
SECOND = 62.5  # frames
WINDOW = int(30 * SECOND)


def scores(scale: float, seed: int = 0) -> Tensor:
    """30 s that ask for little, then for much, then for little: (1, frame, level)."""
    generator = torch.Generator().manual_seed(seed)
    slow = torch.nn.functional.avg_pool1d(torch.randn(1, 1, WINDOW + 30, generator=generator), 31, 1)
    wish = 5 * slow.flatten()[:WINDOW] + 0.5 * torch.randn(WINDOW, generator=generator) - 2
    wish[600:1250] += 3
    liking = torch.tensor([-1.5, -0.5, 0.5, 1.5])
    return scale * (wish[:, None] * liking - 0.5 * liking.square())[None]


def used(scored: Tensor, target: float, **options: int) -> Tensor:
    choice, _ = budget(target, USED, WINDOW, **options)(scored, torch.zeros(len(scored), MEMORY))
    return (choice * USED).sum(-1)


@pytest.mark.parametrize("target", [0.15, 0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_the_mean_settles_in_two_seconds_and_stays_within_five_percent(target: float, scale: float):
    mean = used(scores(scale), target)[0].cumsum(0) / torch.arange(1, WINDOW + 1)
    assert ((mean[int(2 * SECOND) :] / target - 1).abs() < 0.05).all()


def test_scores_count_by_their_order_of_magnitude_alone():
    assert torch.equal(used(scores(1.0), 0.4), used(scores(64.0), 0.4))


def test_within_the_budget_compute_goes_where_the_scores_ask_for_it():
    scored = scores(1.0)
    spent, wish = used(scored, 0.4)[0], scored[0, :, 3] - scored[0, :, 0]
    settled = slice(int(2 * SECOND), None)
    assert torch.corrcoef(torch.stack([spent[settled], wish[settled]]))[0, 1] > 0.2


def test_without_a_target_the_best_score_decides():
    scored = scores(1.0)
    memory = torch.zeros(1, MEMORY)
    choice, after = budget(0.0, USED, WINDOW)(scored, memory)
    assert torch.equal(choice, best(scored, memory)[0])
    assert torch.equal(after, memory)


def test_a_ceiling_is_never_passed_and_what_ran_is_what_counts():
    spent = used(scores(1.0), 0.3, ceiling=2)[0]
    assert spent.max() == 0.5
    mean = spent.cumsum(0) / torch.arange(1, WINDOW + 1)
    assert ((mean[int(2 * SECOND) :] / 0.3 - 1).abs() < 0.05).all()


def test_a_target_above_the_ceiling_runs_the_ceiling():
    assert (used(scores(1.0), 0.9, ceiling=1)[0, 60:] == 0.25).all()


def test_rows_hold_their_budgets_apart():
    both = torch.cat([scores(1.0, seed=0), scores(1.0, seed=1)])
    assert torch.equal(used(both, 0.3)[1], used(both[1:], 0.3)[0])
