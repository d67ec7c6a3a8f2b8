"""The gate that picks an expert, and what a configuration refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sese.core.errors import InputError
from sese.nn.backbones.local_experts import LocalExpertsConfig
from sese.nn.policies.gate import Gate
from sese.nn.state import fresh


def test_scores_are_the_mean_of_the_logits_so_far():
    torch.manual_seed(0)
    gate = Gate(size=8, experts=3, hidden=5, mean_frames=10**7)  # so long that nothing is forgotten
    evidence = torch.rand(2, 40 * 8)
    state = fresh(gate.state_shapes(), 2, evidence)
    scores, _ = gate(evidence, state)
    x = evidence.unflatten(1, (-1, 8))
    for layer, before in zip(gate.recurrent, torch.zeros(2, 2, 1, 5), strict=True):
        x, _ = layer(x, before)
    logits = gate.logits(x)
    means = logits.cumsum(1) / torch.arange(1, 41).view(1, -1, 1)
    torch.testing.assert_close(scores, means, atol=2e-3, rtol=0)


def test_what_is_long_past_is_forgotten():
    torch.manual_seed(0)
    gate = Gate(size=4, experts=2, hidden=6, mean_frames=10)
    silence, sound = torch.zeros(1, 30 * 4), torch.rand(1, 200 * 4)
    state = fresh(gate.state_shapes(), 1, sound)
    after, _ = gate(torch.cat([silence, sound], dim=1), state)
    alone, _ = gate(sound, state)
    assert not torch.allclose(after[:, 30], alone[:, 0], atol=1e-3)
    torch.testing.assert_close(after[:, -1], alone[:, -1], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("hidden", "layers"), [(1, 2), (16, 2), (128, 3)])
def test_published_sizes_cost_what_their_products_are(hidden: int, layers: int):
    config = LocalExpertsConfig(experts=4, gate_hidden=hidden, gate_layers=layers)
    gate = config.build().policy
    products = sum(3 * hidden * (hidden if layer else 256) + 3 * hidden * hidden for layer in range(layers))
    assert gate.macs() == products + 4 * hidden
    again = nn.GRU(256, hidden, layers)
    assert sum(p.numel() for p in gate.recurrent.parameters()) == sum(p.numel() for p in again.parameters())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gate_hidden": -1, "experts": 2}, "gate_hidden is -1"),
        ({"gate_hidden": 4}, "model.experts is 1"),
        ({"gate_hidden": 4, "experts": 2, "gate_layers": 0}, "gate_layers is 0"),
        ({"gate_hidden": 4, "experts": 2, "gate_bands": 33}, "a divisor of 256"),
        ({"gate_hidden": 4, "experts": 2, "gate_seconds": 0.0}, "gate_seconds is 0.0"),
    ],
)
def test_values_that_make_no_gate_are_refused(values: dict, message: str):
    with pytest.raises(InputError, match=message):
        LocalExpertsConfig(**values)
