"""The router and its choices, against what is known of them."""

from __future__ import annotations

import torch

from sese.nn.backbones.demucs import DemucsConfig
from sese.nn.plan import utilization
from sese.nn.policies.budget import MEMORY
from sese.nn.policies.choice import best, gumbel
from sese.nn.policies.router import DiagonalGRU

CONFIG = DemucsConfig(channels=4, depth=3, oversampling=1, groups=2, layers=1, router_channels=8)


def test_diagonal_gru_is_a_gru_with_diagonal_matrices():
    torch.manual_seed(0)
    ours, reference = DiagonalGRU(6), torch.nn.GRU(6, 6, batch_first=True)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(ours.input.weight)
        reference.bias_ih_l0.copy_(ours.input.bias)
        reference.weight_hh_l0.copy_(torch.cat([torch.diag(row) for row in ours.recurrent_weight]))
        reference.bias_hh_l0.zero_()
    x, hidden = torch.randn(3, 20, 6), torch.randn(3, 6)
    y, last = ours(x, hidden)
    expected, expected_last = reference(x, hidden.unsqueeze(0))
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(last, expected_last[0])


def test_gumbel_draws_with_the_probabilities_of_the_softmax():
    scores = torch.tensor([0.5, -1.0, 2.0, 0.0])
    choice, _ = gumbel(1.0, torch.Generator().manual_seed(0))(
        scores.expand(100, 400, 4), torch.zeros(100, MEMORY)
    )
    torch.testing.assert_close(choice.mean((0, 1)), torch.softmax(scores, 0), atol=0.01, rtol=0)


def test_gumbel_is_hard_forward_and_relaxed_backward():
    scores = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    choice, _ = gumbel(0.7, torch.Generator().manual_seed(1))(scores, torch.zeros(2, MEMORY))
    assert torch.equal(choice.detach().round(), torch.nn.functional.one_hot(choice.argmax(-1), 4).float())
    torch.testing.assert_close(choice, choice.round(), atol=1e-6, rtol=0)
    choice[..., 3].sum().backward()
    assert (scores.grad[..., 3] > 0).all()
    assert (scores.grad[..., :3] < 0).all()


def test_a_lower_temperature_draws_the_same_but_flattens_the_gradient():
    scores = torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(2))
    draws, gradients = [], []
    for temperature in (1.0, 0.2):
        leaf = scores.clone().requires_grad_()
        choice, _ = gumbel(temperature, torch.Generator().manual_seed(3))(leaf, torch.zeros(1, MEMORY))
        choice[..., 0].sum().backward()
        draws.append(choice.argmax(-1))
        gradients.append(leaf.grad.abs().max(-1).values)
    assert torch.equal(*draws)
    # Close to a hard choice the relaxed one is flat, except where two levels are about to change places.
    assert gradients[1].median() < 0.1 * gradients[0].median()
    assert gradients[1].max() > gradients[0].max()


def test_loudness_decides_nothing():
    torch.manual_seed(0)
    model = CONFIG.build().eval()
    x = 0.1 * torch.randn(1, 1, 64 * 40)
    scores = [model(gain * x).scores for gain in (0.3, 1.0, 3.0)]
    # Not exactly alike: the level has a floor.
    torch.testing.assert_close(scores[0], scores[1], atol=0.02, rtol=0)
    torch.testing.assert_close(scores[2], scores[1], atol=0.02, rtol=0)


def test_a_given_plan_leaves_the_router_and_its_state_alone():
    torch.manual_seed(0)
    model = CONFIG.build().eval()
    x = 0.1 * torch.randn(1, 1, 64 * 8)
    state = model(x).state
    fixed = model(x, {"width": 2}, state)
    assert fixed.scores is None
    assert torch.equal(fixed.state["policy.gru"], state["policy.gru"])
    assert state["policy.gru"].any()


def test_the_router_decides_where_no_plan_is_given():
    torch.manual_seed(0)
    model = CONFIG.build().eval()
    with torch.no_grad():
        model.policy.pointwise.weight *= 30
    enhanced = model(0.1 * torch.randn(2, 1, 64 * 50))
    choice, _ = best(enhanced.scores, torch.zeros(2, MEMORY))
    used = (choice * torch.tensor([0.125, 0.25, 0.5, 1.0])).sum(-1)
    torch.testing.assert_close(utilization(enhanced.plan, model.sites), used)
    assert len(used.unique()) > 1


def test_scores_alone_are_those_of_the_whole_model():
    torch.manual_seed(0)
    model = CONFIG.build().eval()
    x = 0.1 * torch.randn(2, 1, 1000)
    torch.testing.assert_close(model.score(x), model.run_clip(x).scores)


def test_a_choice_reaches_the_router_with_a_gradient():
    torch.manual_seed(0)
    model = CONFIG.build()
    enhanced = model(0.1 * torch.randn(2, 1, 64 * 6), choose=gumbel(1.0, torch.Generator().manual_seed(0)))
    enhanced.audio.square().mean().backward()
    for name, parameter in model.policy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
