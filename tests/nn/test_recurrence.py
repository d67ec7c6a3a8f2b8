"""The recurrence against PyTorch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sese.nn.layers import kernels
from sese.nn.layers.recurrence import gru

ROWS, INPUTS, UNITS = 3, 5, 4
NAMES = ("x", "hidden", "input_weight", "hidden_weight", "input_bias", "hidden_bias")


def arguments(steps: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    gates = 3 * UNITS
    shapes = [(steps, ROWS, INPUTS), (ROWS, UNITS), (gates, INPUTS), (gates, UNITS), (gates,), (gates,)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def reference(x: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
    return torch.gru(x, hidden.unsqueeze(0), weights, True, 1, 0.0, False, False, False)[0]


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_equals_pytorch_forward_and_backward(steps: int) -> None:
    given = arguments(steps)
    made, expected = gru(*given), reference(*given)
    torch.testing.assert_close(made, expected, atol=1e-12, rtol=0)
    slope = torch.randn(made.shape, dtype=made.dtype, generator=torch.Generator().manual_seed(1))
    for name, ours, theirs in zip(
        NAMES,
        torch.autograd.grad(made, given, slope),
        torch.autograd.grad(expected, given, slope),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=0, msg=name)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_gradient_of_each_input(number: int, steps: int) -> None:
    given = [value.detach() for value in arguments(steps)]

    def run(value: Tensor) -> Tensor:
        return gru(*given[:number], value, *given[number + 1 :])

    assert torch.autograd.gradcheck(run, given[number].clone().requires_grad_())


def test_what_was_handed_in_is_left_as_it_was() -> None:
    given = arguments(6)
    before = [value.detach().clone() for value in given]
    made = gru(*given)
    kept = made.detach().clone()
    made.square().sum().backward()
    for value, old in zip([*given, made], [*before, kept], strict=True):
        assert torch.equal(value, old)


@pytest.mark.parametrize("compiles", [True, False], ids=["kernels", "no kernels"])
def test_products_in_half_precision_are_near(monkeypatch: pytest.MonkeyPatch, compiles: bool) -> None:
    """Weights in bfloat16, all else in float32, as under autocast."""
    if not compiles:
        monkeypatch.setattr(kernels, "on", lambda x: False)
    exact = arguments(40, torch.float32)
    halves = [value.detach().clone() for value in exact]
    halves[2:4] = [value.bfloat16() for value in halves[2:4]]
    halves = [value.requires_grad_() for value in halves]
    outputs = gru(*exact), gru(*halves)
    assert outputs[1].dtype == torch.float32
    assert 0 < (outputs[1] - outputs[0]).abs().max() < 0.05
    slope = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad(made, given, slope) for made, given in zip(outputs, (exact, halves), strict=True)
    ]
    for name, half, value, whole in zip(NAMES, gradients[1], halves, gradients[0], strict=True):
        assert half.dtype == value.dtype, name
        assert (half - whole).norm() < 0.03 * whole.norm(), name


@pytest.mark.parametrize("steps", [1, 9])
def test_its_products_are_counted(steps: int) -> None:
    given = arguments(steps)
    macs = steps * ROWS * 3 * UNITS * (INPUTS + UNITS)
    with FlopCounterMode(display=False) as forward:
        made = gru(*given)
    assert forward.get_total_flops() == 2 * macs
    with FlopCounterMode(display=False) as backward:
        made.sum().backward()
    biases = steps * ROWS * 4 * UNITS  # summed over rows and steps by a product
    assert backward.get_total_flops() == 2 * (2 * macs + biases)
