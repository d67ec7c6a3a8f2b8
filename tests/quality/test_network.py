"""The surrogate gradient by its formula, rounded weights, and networks on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from quality.networks import ODD, network, spectrogram
from sese.core.errors import InputError
from sese.quality import network as networks
from sese.quality.network import Step, with_rounded_weights


@pytest.mark.parametrize("beta", [1.0, 20.0])
def test_the_step_and_its_surrogate(beta: float):
    a = torch.tensor([-2.0, -0.1, 0.0, 1e-9, 0.3], requires_grad=True)
    made = Step.apply(a, beta)
    assert made.tolist() == [0, 0, 0, 1, 1]
    weights = torch.arange(1.0, 6.0)
    (made * weights).sum().backward()
    expected = [w / (beta * abs(v) + 1) ** 2 for w, v in zip(weights.tolist(), a.tolist(), strict=True)]
    np.testing.assert_allclose(a.grad, expected, rtol=1e-6)


def test_every_weight_learns_through_the_steps():
    made = network(ODD).train()
    made(torch.from_numpy(spectrogram(ODD))[None]).sum().backward()
    dead = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_rounded_weights_have_255_steps():
    made = network(ODD)
    rounded = with_rounded_weights(made)
    for before, after in zip(made.convolutions, rounded.convolutions, strict=True):
        for row_before, row in zip(before.weight.flatten(1), after.weight.flatten(1), strict=True):
            step = float(row_before.detach().abs().max() / 127)
            np.testing.assert_allclose(row.detach() / step, (row.detach() / step).round(), atol=1e-3)
            assert float((row - row_before).detach().abs().max()) <= 0.501 * step


def test_taking_over_keeps_the_sums():
    """Where all cells above 0 of a channel are worth the same, ones make the sums that the ReLUs made."""
    float_ = network(dataclasses.replace(ODD, activation="relu"))
    mel = torch.stack([torch.from_numpy(spectrogram(ODD, seed)) for seed in range(4)])
    worth = torch.arange(1.0, 6.0)

    def levelled(sums: torch.Tensor) -> torch.Tensor:
        a = torch.nn.functional.max_pool2d(sums, 2)
        scale = worth if a.shape[1] == 5 else torch.ones(a.shape[1])
        return (a > 0).to(a.dtype) * scale.view(1, -1, 1, 1)

    float_.activate = levelled  # type: ignore[method-assign]
    made = networks.QualityNetwork(ODD).eval()
    networks.take_over(made, float_, mel)
    np.testing.assert_allclose(made(mel).detach(), float_(mel).detach(), rtol=1e-4, atol=1e-4)
    same = networks.QualityNetwork(float_.design).eval()
    networks.take_over(same, network(float_.design, 1), mel)
    assert torch.equal(same(mel), network(float_.design, 1)(mel))


def test_a_network_comes_back_from_disk(tmp_path: Path):
    made = network(ODD)
    networks.save(tmp_path, ODD, made.state_dict())
    again = networks.load(tmp_path)
    mel = torch.from_numpy(spectrogram(ODD))[None]
    assert again.design == ODD
    assert torch.equal(again(mel), made(mel))


def test_bad_folders(tmp_path: Path):
    with pytest.raises(InputError, match="give the folder of a quality predictor"):
        networks.load(tmp_path)
    networks.save(tmp_path, ODD, network(ODD).state_dict())
    (tmp_path / networks.WEIGHTS).write_bytes(b"text")
    with pytest.raises(InputError, match="no quality predictor"):
        networks.load(tmp_path)


@pytest.mark.parametrize("activation", ["relu", "binary"])
def test_settled_sums_are_standard(activation: str):
    design = dataclasses.replace(ODD, activation=activation)
    torch.manual_seed(0)
    made = networks.QualityNetwork(design)
    mel = torch.stack([torch.from_numpy(spectrogram(design, seed)) for seed in range(8)])
    networks.settle(made, mel)
    sums = []
    for layer in (*made.convolutions, *made.dense[:-1]):
        layer.register_forward_hook(lambda module, heard, sum_: sums.append(sum_.detach()))
    made(mel)
    for each in sums:
        if each.ndim == 4:
            each = torch.nn.functional.max_pool2d(each, 2)
        over = (0, *range(2, each.ndim))
        np.testing.assert_allclose(each.mean(over), 0, atol=1e-3)
        np.testing.assert_allclose(each.std(over), 1, atol=0.02)


@pytest.mark.parametrize("activation", ["relu", "binary"])
def test_pooling_before_or_after_the_activation_is_the_same(activation: str):
    made = network(dataclasses.replace(ODD, activation=activation))
    sums = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0))
    after = torch.relu(sums) if activation == "relu" else (sums > 0).float()
    assert torch.equal(made.activate(sums), torch.nn.functional.max_pool2d(after, 2))
