"""The losses of a router, against their formulas by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sese.core.errors import InputError
from sese.training.methods.routing import RoutingConfig, balance, efficiency
from sese.training.methods.routing_from_errors import frame_errors


@pytest.mark.parametrize(
    ("form", "mean", "expected"),
    [
        ("square", 0.4, 0.0225),
        ("square", 0.1, 0.0225),
        ("absolute", 0.1, 0.15),
        ("one_sided", 0.1, 0.0),
        ("one_sided", 0.4, 0.15),
    ],
)
def test_efficiency(form, mean, expected):
    used = torch.tensor([[mean - 0.05, mean + 0.05]])
    assert efficiency(used, RoutingConfig(efficiency=form)).item() == pytest.approx(expected, abs=1e-6)


def test_balance_is_lowest_for_even_shares_and_highest_for_one_level():
    even = 9 * torch.eye(4).unsqueeze(0)
    one = torch.tensor([9.0, 0, 0, 0]).expand(1, 4, 4)
    switch, kl = RoutingConfig(), RoutingConfig(balance="kl")
    assert balance(even, switch).item() == pytest.approx(1, abs=1e-5)
    assert balance(even, kl).item() == pytest.approx(0, abs=1e-5)
    share = math.exp(9) / (math.exp(9) + 3)
    assert balance(one, switch).item() == pytest.approx(4 * share, rel=1e-5)
    assert balance(one, kl).item() == pytest.approx(math.log(4), abs=0.01)


@pytest.mark.parametrize("name", ["switch", "kl"])
def test_balance_pulls_towards_levels_that_are_little_used(name):
    scores = torch.tensor([1.0, 0, 0, 0]).repeat(1, 10, 1).requires_grad_()
    balance(scores, RoutingConfig(balance=name)).backward()
    assert (scores.grad[..., 0] > 0).all()
    assert (scores.grad[..., 1:] < 0).all()


def test_temperature_changes_by_a_constant_factor():
    config = RoutingConfig(temperature=2.0, final_temperature=0.5)
    assert [config.temperature_at(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.0, 0.5])


@pytest.mark.parametrize(
    "values",
    [
        {"target": 0.0},
        {"target": 1.5},
        {"efficiency_weight": -1.0},
        {"temperature": 0.0},
        {"fixed_share": 1.0},
        {"learning_rate": math.nan},
    ],
)
def test_bad_values_are_named(values):
    with pytest.raises(InputError, match=f"routing.{next(iter(values))} is"):
        RoutingConfig(**values)


def test_frame_errors_find_where_and_how_much_a_level_is_off():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (0.1 * torch.randn(2, 6400, generator=generator) for _ in range(2))
    burst = torch.zeros(6400)
    burst[3200:4480] = 1.0
    estimates = torch.stack([clean + 0.5 * noise + burst * noise, clean + 0.5 * noise])
    errors = frame_errors(estimates, clean, clean + noise, hop_length=64)
    assert errors.shape[::2] == (2, 2)
    worse = errors[..., 0] - errors[..., 1]
    assert (worse[:, 51:69] > 0.3).all()
    assert worse[:, :49].abs().max() < 1e-5
    assert worse[:, 72:].abs().max() < 1e-5
    assert errors[..., 1].mean().item() == pytest.approx(1, abs=0.05)
    # The waveform's half: in the burst the error is three times as large, nine times in square.
    wave = 0.5 * (burst * noise + 0.5 * noise).square()[:, 3200:4480].mean() / (0.5 * noise).square().mean()
    assert worse[:, 52:68].mean() > wave.item() - 0.5
