"""Blocks and recurrences of DEMUCS as they train on a CPU, against autograd in full precision."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core import compiled
from sese.nn.backbones.demucs import DemucsConfig
from sese.nn.layers import kernels, slim_blocks, slim_kernels
from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.layers.side_by_side import recur
from sese.nn.plan import Slices, counts_to_mask
from sese.nn.policies.fixed import levels_plan
from sese.nn.policies.router import DiagonalGRU

pytestmark = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler")

BATCH, FRAMES, ROWS, STRIDE = 3, 4, 2, 2
WIDTHS = (2, 5, 9)
BF16_ERROR = 0.01
"""Largest relative RMS error of outputs and gradients: bfloat16 rounds to 2^-9, a block about five times."""

KEEPS: dict[str, Callable[[], Tensor | Slices]] = {
    "mask": lambda: counts_to_mask(torch.tensor([[1, 2, 3, 1], [3, 3, 1, 2], [2, 1, 1, 3]]), 3),
    "relaxed": lambda: torch.rand(BATCH, FRAMES, 3, generator=torch.Generator().manual_seed(5)),
    "one width": lambda: Slices(BATCH * FRAMES, ((2, None),)),
    "widths of rows": lambda: Slices(
        BATCH * FRAMES, ((1, slice(0, 4)), (3, slice(4, 9)), (2, slice(9, BATCH * FRAMES)))
    ),
}


def drawn(*shapes: Sequence[int], seed: int = 1) -> list[Tensor]:
    """Values that bfloat16 can hold, so that only sums differ."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator).bfloat16().float() for shape in shapes]


def gradients(
    run: Callable[..., Sequence[Tensor]], values: Sequence[Tensor], weights: nn.Module | None = None
) -> dict[str, Tensor]:
    """Return the results, and the gradients of all that goes in, for drawn gradients of the results."""
    given = [value.clone().requires_grad_() for value in values]
    if weights is not None:
        weights.zero_grad()
    made = run(*given)
    slopes = drawn(*(value.shape for value in made), seed=3)
    torch.autograd.backward([value.float() for value in made], slopes)
    found = {f"result {at}": value.detach().float() for at, value in enumerate(made)}
    for at, value in enumerate(given):
        assert value.grad is not None
        found[f"input {at}"] = value.grad
    for name, weight in [] if weights is None else weights.named_parameters():
        assert weight.grad is not None
        found[name] = weight.grad.clone()
    return found


def assert_near(got: dict[str, Tensor], expected: dict[str, Tensor], error: float) -> None:
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        difference = (got[name].float() - value).norm()
        assert difference <= error * value.norm(), f"{name}: {difference / value.norm():.5f}"


def holding(block: nn.Module) -> nn.Module:
    """Round a block's weights to values that bfloat16 can hold."""
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(parameter.bfloat16())
    return block


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that have run."""
    ran: list[str] = []
    run = kernels.run

    def noting(name: str, *given: Tensor | int | float | None) -> None:
        ran.append(name)
        run(name, *given)

    for module in (kernels, slim_kernels):
        monkeypatch.setattr(module, "run", noting)
    return ran


@pytest.mark.parametrize("name", KEEPS)
@pytest.mark.parametrize("kind", ["encoder", "decoder", "last decoder"])
def test_blocks_equal_autograd_to_bfloat16(kind: str, name: str, used: list[str]) -> None:
    torch.manual_seed(7)  # in which no sum lies at the edge of a ReLU
    keep, (inner, outer) = KEEPS[name](), (6, 4)
    if kind == "encoder":
        block = holding(SlimEncoderBlock(outer, inner, STRIDE, WIDTHS))
        values = drawn(*[(BATCH, FRAMES * ROWS * STRIDE, outer)] * 2)
        arguments: Callable[..., tuple] = lambda x, late, keep: (x, late, keep)  # noqa: E731
    else:
        block = holding(SlimDecoderBlock(inner, outer, STRIDE, WIDTHS, last=kind == "last decoder"))
        values = drawn((BATCH, FRAMES * ROWS, inner), (BATCH, 1, STRIDE * outer))
        arguments = lambda x, tail, keep: (x, keep, tail)  # noqa: E731

    def run(x: Tensor, other: Tensor, *mask: Tensor) -> Sequence[Tensor]:
        made = block(*arguments(x, other, mask[0] if mask else keep))
        return (made,) if isinstance(made, Tensor) else made

    if isinstance(keep, Tensor):
        values.append(keep)
    expected = gradients(run, values, block)
    assert not used, "in full precision it is autograd"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = gradients(run, values, block)
    assert "gate_backward" in used
    assert_near(got, expected, BF16_ERROR)


def test_blocks_whose_widths_lie_apart_run_in_pytorch(used: list[str]) -> None:
    torch.manual_seed(0)
    block = SlimDecoderBlock(6, 4, STRIDE, WIDTHS, last=False)
    keep = Slices(BATCH * FRAMES, ((1, torch.arange(0, 12, 2)), (3, torch.arange(1, 12, 2))))
    values = drawn((BATCH, FRAMES * ROWS, 6), (BATCH, 1, STRIDE * 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gradients(lambda x, tail: block(x, keep, tail), values, block)
        assert not used
        assert slim_blocks.spans(values[0], 1, keep, WIDTHS) is None


@pytest.mark.parametrize(("rows", "units"), [(1, 1), (4, 5), (6, 16), (9, 3)])
def test_recurrence_equals_autograd(rows: int, units: int) -> None:
    groups, steps = 3, 11
    shapes = [(groups, rows, steps, 3 * units), (groups, rows, units)]
    values = drawn(*shapes, (groups, units, 3 * units), (groups, 3 * units))

    def loop(gates: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor) -> Sequence[Tensor]:
        made = []
        for step in gates.unbind(2):
            product = torch.baddbmm(bias.unsqueeze(1), hidden, weight)
            both, new = step.split([2 * units, units], dim=2)
            reset, update = torch.sigmoid(both + product[..., : 2 * units]).chunk(2, dim=2)
            hidden = torch.lerp(torch.tanh(new + reset * product[..., 2 * units :]), hidden, update)
            made.append(hidden)
        return (torch.stack(made, dim=2),)

    expected = gradients(loop, [value.double() for value in values])
    got = gradients(lambda *given: (recur(*given),), values)
    assert_near(got, {name: value.float() for name, value in expected.items()}, 5e-6)


@pytest.mark.parametrize("kind", ["grouped", "diagonal"])
def test_layers_equal_autograd_to_bfloat16(kind: str, used: list[str]) -> None:
    torch.manual_seed(0)
    layer: nn.Module = GroupedGRU(12, groups=3, layers=2) if kind == "grouped" else DiagonalGRU(12)
    holding(layer)
    values = drawn((BATCH, FRAMES, 12), (BATCH, 2, 12) if kind == "grouped" else (BATCH, 12))
    expected = gradients(layer, values, layer)
    assert not used
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = gradients(layer, values, layer)
        assert set(used) == {"gru_forward", "gru_backward"}
        used.clear()
        with torch.no_grad():
            layer(*values)
        assert not used, "only in training"
    assert_near(got, expected, BF16_ERROR)


def results(model: nn.Module, run: Callable[[], Tensor], cast: bool) -> dict[str, Tensor]:
    """Return the audio, and the gradient of each weight that has one."""
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
        made = run()
    F.mse_loss(made.float(), torch.zeros(made.shape)).sqrt().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {"audio": made.detach().float(), **found}


@pytest.mark.parametrize("routed", [True, False])
def test_the_network_under_autocast_is_as_near_as_pytorch_alone(
    monkeypatch: pytest.MonkeyPatch, routed: bool, used: list[str]
) -> None:
    """Where a sum changes its side of a ReLU by rounding, gradients differ by more than rounding."""
    torch.manual_seed(0)
    config = DemucsConfig(channels=8, depth=3, oversampling=1, groups=2, router_channels=4)
    model = config.build().train()
    x = 0.1 * torch.randn(4, 1, 8000, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([[2], [0], [3], [0]])

    def choose(scores: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        hard = F.one_hot(torch.arange(scores.shape[1]) % 4, 4).float()
        return hard + scores.softmax(-1) - scores.softmax(-1).detach(), memory

    def run() -> Tensor:
        if routed:
            return model.run_clip(x, None, choose).audio
        return model.enhance_clip(x, levels_plan(model.sites, levels))

    exact = results(model, run, cast=False)
    assert not used
    quick = results(model, run, cast=True)
    assert {"gate", "overlap", "gru_forward"} <= set(used)
    used.clear()
    monkeypatch.setattr(kernels, "on", lambda x: False)
    slow = results(model, run, cast=True)
    assert not used
    assert set(quick) == set(slow) == set(exact)
    for name, value in exact.items():
        errors = [(other[name] - value).norm() / value.norm() for other in (quick, slow)]
        assert 0 < errors[0] <= 1.5 * errors[1] + BF16_ERROR, name


def test_rows_of_mixed_levels_are_each_as_alone() -> None:
    torch.manual_seed(0)
    model = DemucsConfig(channels=8, depth=3, oversampling=1, groups=2).build()
    backbone = copy.deepcopy(model.backbone).double()
    frames, levels = 3, torch.tensor([[2], [0], [3], [0], [1]])
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, frames * backbone.frame_samples, generator=generator).double().requires_grad_()
    state = {
        name: torch.randn(5, *shape, generator=generator).double()
        for name, shape in backbone.state_shapes().items()
    }
    plan = {"width": levels_plan(model.sites, levels)["width"].double().expand(5, frames, -1)}
    made, after = backbone(x, plan, state)
    (slope,) = torch.autograd.grad(made.square().sum(), x)
    for row in range(5):
        part = slice(row, row + 1)
        alone = x[part].detach().requires_grad_()
        own_state = {name: value[part] for name, value in state.items()}
        y, own = backbone(alone, {"width": plan["width"][part]}, own_state)
        torch.testing.assert_close(made[part], y)
        torch.testing.assert_close(slope[part], torch.autograd.grad(y.square().sum(), alone)[0])
        for name, value in after.items():
            torch.testing.assert_close(value[part], own[name])
