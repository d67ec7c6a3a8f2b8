"""Backward passes of our own against PyTorch's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from sese.nn.layers.backward import PReLU, depthwise


def torch_depthwise(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    return F.conv1d(x.transpose(1, 2), weight, bias, dilation=dilation, groups=x.shape[2]).transpose(1, 2)


def results(run: Callable[..., Tensor], values: list[Tensor]) -> list[Tensor]:
    """The output, and the gradients of all values."""
    values = [value.clone().requires_grad_() for value in values]
    y = run(*values)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype))
    with torch.no_grad():
        assert torch.equal(run(*values), y), "the same without gradients"
    return [y, *(value.grad for value in values if value.grad is not None)]


@pytest.mark.parametrize(("taps", "dilation"), [(3, 1), (3, 4), (2, 5), (4, 2)])
def test_depthwise(taps: int, dilation: int) -> None:
    torch.manual_seed(0)
    values = [torch.randn(2, 19, 6), torch.randn(6, 1, taps), torch.randn(6)]
    values = [value.double() for value in values]
    made = results(lambda *v: depthwise(*v, dilation), values)
    expected = results(lambda *v: torch_depthwise(*v, dilation), values)
    assert made[0].shape == (2, 19 - (taps - 1) * dilation, 6)
    assert len(made) == 4
    for value, reference in zip(made, expected, strict=True):
        torch.testing.assert_close(value, reference)


@pytest.mark.parametrize("slope", [0.25, -0.5, 0.0, 1.5])
def test_prelu(slope: float) -> None:
    torch.manual_seed(0)
    values = [torch.randn(2, 5, 7).double(), torch.tensor([slope]).double()]
    values[0][0, 0] = 0.0
    layer = PReLU()
    made = results(lambda x, slope: functional_call(layer, {"weight": slope}, x), values)
    for value, reference in zip(made, results(F.prelu, values), strict=True):
        torch.testing.assert_close(value, reference)


def test_half_precision_weights_get_gradients_of_their_own() -> None:
    x = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    weight, bias = torch.ones(8, 1, 3, requires_grad=True), torch.zeros(8, requires_grad=True)
    layer = PReLU()
    y = layer(depthwise(x, weight, bias, 2))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    for parameter in (weight, bias, layer.weight):
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.shape == parameter.shape
        assert parameter.grad.any()
