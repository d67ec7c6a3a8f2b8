"""Muon: matrices become orthogonal, the rest is AdamW, and a state can be loaded."""

import copy

import pytest
import torch
from torch import nn

from sese.training.optimizer import Muon, matrices, orthogonal


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (3, 64, 64), (8, 8)])
def test_the_orthogonal_matrix_has_the_directions_of_the_singular_vectors(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    made = orthogonal(matrix)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    singular = u.mT @ made @ v.mT
    off = singular - torch.diag_embed(singular.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-3
    assert torch.linalg.svdvals(made).max() < 1.3
    assert torch.linalg.svdvals(made).median() > 0.65


def test_a_zero_gradient_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(4, 6)), torch.zeros(4, 6))


def test_stacked_weights_are_a_matrix_for_each_part() -> None:
    weight = torch.zeros(192, 3, 64)
    assert matrices(weight).shape == (3, 192, 64)
    assert matrices(weight[:, 0]).shape == (192, 64)


def groups(layer: nn.Linear, orthogonal: bool) -> list[dict[str, object]]:
    return [
        {"params": [layer.weight], "orthogonal": orthogonal, "weight_decay": 0.1},
        {"params": [layer.bias], "weight_decay": 0.0},
    ]


def train(layer: nn.Linear, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.randn(5, 6, generator=generator)).square().sum().backward()
        optimizer.step()


def test_what_is_no_matrix_is_stepped_as_by_adamw() -> None:
    ours, theirs = nn.Linear(6, 4), nn.Linear(6, 4)
    theirs.load_state_dict(ours.state_dict())
    train(ours, Muon(groups(ours, False), lr=1e-2), 3, 1)
    plain = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}]
    train(theirs, torch.optim.AdamW(plain, lr=1e-2, betas=(0.9, 0.99)), 3, 1)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_a_step_has_the_size_that_the_learning_rate_gives() -> None:
    layer = nn.Linear(64, 64)
    before = layer.weight.detach().clone()
    optimizer = Muon([{"params": [layer.weight], "orthogonal": True, "weight_decay": 0.0}], lr=0.01)
    layer.weight.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    assert (layer.weight - before).square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.2)
    assert layer.weight.grad is None  # AdamW did not step it again


def test_a_loaded_state_goes_on_in_the_same_way() -> None:
    whole = nn.Linear(6, 4)
    optimizer = Muon(groups(whole, True), lr=1e-2)
    train(whole, optimizer, 3, 1)
    resumed = copy.deepcopy(whole)
    fresh = Muon(groups(resumed, True), lr=1e-2)
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(whole, optimizer, 3, 2)
    train(resumed, fresh, 3, 2)
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
