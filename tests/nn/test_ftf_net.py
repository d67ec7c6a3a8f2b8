"""FTF-Net's published size, and its dynamic layers against what is known of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contract import audio, build, count_macs
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.backbones.ftf_net import FTFNetConfig
from sese.nn.cost import macs_per_sample, parameters, parameters_used
from sese.nn.layers.dynamic import BLOCK, DynamicAttention, DynamicConv, DynamicGRU
from sese.nn.layers.grouped_recurrence import grouped_gru
from sese.nn.plan import counts_to_mask
from sese.nn.policies.fixed import level_plan
from sese.training.config import read
from sese.training.task import EnhancementTask

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
TINY = FTFNetConfig(n_fft=128, hop_length=64, channels=(4, 8, 8), window=5)


def test_published_size() -> None:
    """arXiv 2608.30739 gives 0.14 M weights and 318.2 MMAC/s; here 32 bands, not 33, at the bottleneck."""
    config = read(CONFIGS / "ftf_net" / "base.yaml").model
    model = config.build().eval()
    assert config == FTFNetConfig()
    assert parameters(model) == 135_266
    assert round(parameters(model) / 1e6, 2) == 0.14
    millions = [
        macs_per_sample(model, level_plan(model.sites, level)) * config.sample_rate / 1e6 for level in (0, 1)
    ]
    assert millions == pytest.approx([155.776, 310.016])
    assert millions[1] == pytest.approx(318.2, rel=0.03)
    x = torch.randn(1, 1, 2 * model.hop_length)
    for level in (0, 1):
        plan = level_plan(model.sites, level)
        assert count_macs(model, x, plan) == macs_per_sample(model, plan) * x.numel()
    assert model.latency_samples / model.sample_rate == 0.032
    assert parameters_used(model, 1) == 68_306


def test_shapes_of_the_published_size() -> None:
    backbone = FTFNetConfig().build().backbone
    assert [tuple(layer.weight.shape) for layer in backbone.encoder] == [(16, 4, 3), (32, 32, 3), (64, 64, 3)]
    assert [tuple(layer.weight.shape) for layer in backbone.decoder] == [
        (32, 128, 3),
        (16, 64, 3),
        (2, 32, 3),
    ]
    assert backbone.bands == 32
    assert backbone.state_shapes()["attention.1"] == (62, 32, 4, 32)
    assert [name for name in backbone.state_shapes() if "gru" in name] == ["gru.1"]


def test_size_of_the_small_member() -> None:
    config = read(CONFIGS / "ftf_net" / "small_guided.yaml").model
    model = config.build()
    static, whole = (
        macs_per_sample(model, level_plan(model.sites, level)) * config.sample_rate / 1e6 for level in (0, 1)
    )
    assert (static, whole) == pytest.approx((41.6, 82.432))
    assert config.router_channels == 16


def test_convolution_equals_one_over_two_frames() -> None:
    torch.manual_seed(0)
    layer = DynamicConv(3, 6, (2, 6), transposed=False)
    x, past = torch.randn(2, 5, 3, 8), torch.zeros(2, 1, 3, 8)
    made, after = layer(x, 2, past)
    kernel = layer.weight.view(6, 2, 3, 3).transpose(1, 2)  # output, input, frame, bin
    padded = torch.cat([past, x], dim=1).transpose(1, 2)
    expected = torch.nn.functional.conv2d(padded, kernel, layer.bias, (1, 2), (0, 1)).transpose(1, 2)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(after, x[:, -1:])
    static, _ = layer(x, 1, past)
    torch.testing.assert_close(static[:, :, :2], made[:, :, :2])
    assert not static[:, :, 2:].any()


def test_groups_that_are_not_kept_hold_their_state() -> None:
    torch.manual_seed(0)
    layer = DynamicGRU(8, (2, 4), along_bands=False)
    x, state = torch.randn(2, 6, 3, 8), torch.randn(2, 3, 8)
    _, after = layer(x, 1, state)
    assert torch.equal(after[..., 4:], state[..., 4:])
    assert not torch.isclose(after[..., :4], state[..., :4]).any()
    counts = torch.tensor([[2, 2, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    _, masked = layer(x, counts_to_mask(counts, 2), state)
    torch.testing.assert_close(masked[0, :, 4:], layer(x[:, :2], 2, state)[1][0, :, 4:])
    assert torch.equal(masked[1, :, 4:], state[1, :, 4:])


def test_attention_along_time_equals_pytorchs_over_its_window() -> None:
    torch.manual_seed(0)
    heads, window, size = 2, 3, 4
    layer = DynamicAttention(8, (1, heads), window)
    x = torch.randn(1, 7, 2, 8)
    state = torch.zeros(1, *layer.state_shape(2))
    made, after = layer(x, 2, state)
    projected = torch.einsum("btfc,hsc->btfhs", layer.norm(x), layer.in_weight) + layer.in_bias
    query, key, value = projected.transpose(1, 3).split(size, dim=4)  # (batch, head, band, frame, value)
    for frame in range(window - 1, 7):
        seen = slice(frame - window + 1, frame + 1)
        result = torch.nn.functional.scaled_dot_product_attention(
            query[..., frame : frame + 1, :], key[..., seen, :], value[..., seen, :]
        )
        branch = torch.einsum("bhfs,hsc->bfc", result.squeeze(3), layer.out_weight) + layer.out_bias
        torch.testing.assert_close(made[:, frame], x[:, frame] + branch, atol=1e-5, rtol=1e-5)
    assert after.shape == state.shape
    _, without = layer(x, 1, torch.ones_like(state))
    assert not without[..., 1, :].any(), "a head that was not kept leaves zeros"


def test_time_is_forgotten_beyond_the_states() -> None:
    """Attention alone bounds what it sees; what is handed over has a fixed size."""
    torch.manual_seed(0)
    layer = DynamicAttention(8, (2, 4), 3)
    x, state = torch.randn(1, 9, 2, 8), torch.zeros(1, *layer.state_shape(2))
    other = torch.cat([torch.randn(1, 4, 2, 8), x[:, 4:]], dim=1)
    torch.testing.assert_close(layer(x, 2, state)[0][:, 6:], layer(other, 2, state)[0][:, 6:])
    assert not torch.isclose(layer(x, 2, state)[0][:, 5], layer(other, 2, state)[0][:, 5]).all()


def test_whole_clips_in_blocks_equal_frame_by_frame() -> None:
    torch.manual_seed(0)
    layer, frames = DynamicAttention(8, (2, 4), 5), 2 * BLOCK + 3
    x, state = torch.randn(2, frames, 3, 8), torch.randn(2, *layer.state_shape(3))
    whole, last = layer(x, 2, state)
    made = []
    for frame in range(frames):
        part, state = layer(x[:, frame : frame + 1], 2, state)
        made.append(part)
    torch.testing.assert_close(whole, torch.cat(made, dim=1), atol=1e-5, rtol=1e-5)
    assert torch.equal(last, state)


@pytest.mark.parametrize("held", [False, True], ids=["kept", "held"])
def test_grouped_recurrence_equals_autograds(held: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    steps, groups, inputs, units, rows = 5, 2, 3, 4, 7
    shapes = [(steps, groups, inputs, rows), (groups, units, rows)]
    shapes += [(groups, 3 * units, size) for size in (inputs, units, 1, 1)]
    values = [torch.randn(shape, generator=generator, dtype=torch.double) for shape in shapes]
    if held:
        values.append(torch.rand(steps, groups, 1, rows, generator=generator, dtype=torch.double))
    values = [value.requires_grad_() for value in values]
    made, last = grouped_gru(*values)
    assert torch.autograd.gradcheck(grouped_gru, values)
    x, h, *weights = values
    weights = [weight.transpose(1, 2) for weight in weights[:4]]
    for step in range(steps):
        cells = []
        for group in range(groups):
            cell = torch.nn.GRUCell(inputs, units, dtype=torch.double)
            given = [weight[group].t().squeeze(1) for weight in weights]
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            cells.append(
                torch.func.functional_call(
                    cell, dict(zip(names, given, strict=True)), (x[step, group].t(), h[group].t())
                ).t()
            )
        expected = torch.stack(cells)
        torch.testing.assert_close(made[step], expected)
        h = h + values[6][step] * (expected - h) if held else expected
    torch.testing.assert_close(last, h)


def test_a_training_step_in_mixed_precision() -> None:
    """bfloat16 where it is quick, and gradients like those of full precision."""
    model = build(TINY)
    x = audio(model, 40, batch=2)
    counts = torch.randint(1, 3, (2, 40), generator=torch.Generator().manual_seed(0))
    gradients = []
    for mixed in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            plan = {"parts": counts_to_mask(counts, 2).requires_grad_()}
            loss = (model(x, plan).audio.float() - x).square().mean()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.98


def test_full_size_streams_as_it_runs_offline() -> None:
    model, frames = build(TINY), BLOCK + 4
    x = audio(model, frames)
    levels = torch.arange(frames).remainder(5).gt(1).long().unsqueeze(0)
    plan = {"parts": counts_to_mask(levels + 1, 2)}
    whole, state, made = model(x, plan).audio, None, []
    for frame, samples in enumerate(x.split(model.hop_length, dim=2)):
        part = model(samples, {"parts": plan["parts"][:, frame : frame + 1]}, state)
        state = part.state
        made.append(part.audio)
    torch.testing.assert_close(torch.cat(made, dim=2), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("strategy", ["random_level", "routing"])
def test_a_few_steps_of_training_lower_the_loss(strategy: str) -> None:
    config = read(
        CONFIGS / "ftf_net" / "small.yaml",
        [
            "model.n_fft=128",
            "model.hop_length=64",
            "model.channels=[4,8,8]",
            "model.window=4",
            "model.router_channels=4",
            f"training.method={strategy}",
            "training.warmup_steps=0",
            "training.routing.efficiency_weight=0",
        ],
    )
    torch.manual_seed(0)
    task = EnhancementTask(config)
    task.log = task.log_dict = lambda *values, **named: None  # type: ignore[method-assign, assignment]
    optimizer = torch.optim.Adam(task.parameters(), 5e-3)
    generator = torch.Generator().manual_seed(1)
    tone = 0.2 * torch.sin(0.2 * torch.arange(1280.0)).expand(4, 1, -1)
    noisy = tone + 0.1 * torch.randn(tone.shape, generator=generator)
    losses = []
    for step in range(10):
        loss = task.training_step(Mixture(noisy, tone, torch.zeros(4)), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_every_weight_gets_a_gradient_from_masks() -> None:
    model = TINY.build()
    keep: Tensor = counts_to_mask(torch.tensor([[1, 2, 2, 1, 2, 2]]), 2).requires_grad_()
    model(audio(model, 6), {"parts": keep}).audio.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_rate": 0}, "model.sample_rate is 0"),
        ({"n_fft": 500}, "model.n_fft is 500; use two hops, 512"),
        ({"channels": ()}, "model.channels is []"),
        ({"n_fft": 500, "hop_length": 250}, "use a multiple of 8"),
        ({"order": "FXF"}, "model.order is 'FXF'"),
        ({"groups": (4, 2)}, "model.groups is [4, 2]"),
        ({"groups": (2, 3)}, "model.groups is [2, 3]; the last must divide 64 channels"),
        ({"heads": (1, 2, 4)}, "model.heads is [1, 2, 4]; give a number for each of 2 levels"),
        ({"widths": (0.5, 0.9)}, "model.widths is [0.5, 0.9]"),
        ({"window": 1}, "model.window is 1"),
        ({"router_channels": -1}, "model.router_channels is -1"),
    ],
    ids=str,
)
def test_refused_configurations(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        FTFNetConfig(**values)
