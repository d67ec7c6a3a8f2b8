"""The gated mixer and its branches against plain PyTorch, with the C kernels and without them."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract import audio, build, count_macs
from sese.core import compiled
from sese.core.errors import InputError
from sese.nn.backbones.gated_mixer import GatedMixerConfig
from sese.nn.cost import macs_per_sample, parameters
from sese.nn.layers import kernels
from sese.nn.layers.gated import BandMap, GatedRecurrence, scan
from sese.nn.plan import counts_to_mask
from sese.nn.policies.fixed import level_plan, levels_plan

FRAMES, BATCH, BANDS, CHANNELS, SIZE = 7, 2, 5, 12, 9
REST = -1
BF16_ERROR = 0.01
"""Largest relative RMS error of outputs and gradients: bfloat16 rounds to 2^-9, a branch about five times."""

TINY = GatedMixerConfig(
    n_fft=64,
    hop_length=32,
    bands=((4, 4), (2, 8)),
    channels=6,
    blocks=(1, 2, 3),
    band_units=(2, 3, 4),
    time_units=(3, 4, 6),
)

needs_compiler = pytest.mark.skipif(compiled.compiler() is None, reason="there is no C compiler")


def branch(kind: type, seed: int = 0) -> Any:
    """A branch whose norms do something, and whose weights bfloat16 can hold, so that only sums differ."""
    torch.manual_seed(seed)
    layer = kind(BANDS, CHANNELS, SIZE)
    nn.init.normal_(layer.norm.weight, 1.0, 0.3)
    nn.init.normal_(layer.norm.bias, 0.0, 0.3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter.bfloat16())
    return layer


def stream(seed: int = 1) -> tuple[Tensor, Tensor]:
    """(frame, batch, band, channel) that bfloat16 can hold, and a state (batch, band, unit)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(FRAMES, BATCH, BANDS, CHANNELS, generator=generator).bfloat16().float()
    return x, torch.randn(BATCH, BANDS, SIZE, generator=generator)


def run(layer: Any, x: Tensor, hidden: int | Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Any branch, as one with a state."""
    return layer(x, hidden, state) if isinstance(layer, GatedRecurrence) else (layer(x, hidden), state)


def plain(layer: Any, units: int, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same with so many units, by one step after the other."""
    y = F.layer_norm(x, (CHANNELS,), layer.norm.weight, layer.norm.bias)
    if isinstance(layer, BandMap):
        h = torch.einsum("ub,fnbc->fnuc", layer.in_weight[:units], y) + layer.in_bias[:units, None]
        return x + torch.einsum("ub,fnuc->fnbc", layer.out_weight[:units], h.clamp_min(0)), state
    made, h = [], state[..., :units]
    for frame, before in zip(y, x, strict=True):
        gates = torch.einsum("ugc,nbc->nbug", layer.in_weight[:units], frame) + layer.in_bias[:units]
        keep, value, gate = gates.unbind(3)
        keep = torch.sigmoid(keep)
        h = keep * h + (1 - keep) * value
        made.append(before + (h * gate * torch.sigmoid(gate)) @ layer.out_weight[:units])
    return torch.stack(made), torch.cat([h, state[..., units:]], dim=2)


def gradients(
    function: Any, layer: Any, x: Tensor, state: Tensor, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs, and the gradients of all that goes in, for drawn gradients of the outputs."""
    x, state = x.detach().to(dtype).requires_grad_(), state.clone().requires_grad_()
    layer.zero_grad()
    made, after = function(x, state)
    generator = torch.Generator().manual_seed(3)
    slopes = [torch.randn(value.shape, generator=generator).bfloat16().float() for value in (made, after)]
    ((made * slopes[0].to(dtype)).sum().float() + (after * slopes[1]).sum()).backward()
    found = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
    assert x.grad is not None
    return {"made": made.detach(), "after": after.detach()}, found | {"x": x.grad, "state": state.grad}


def assert_near(got: dict[str, Tensor], expected: dict[str, Tensor], error: float) -> None:
    assert set(got) == set(expected)
    for name, value in expected.items():
        difference = (got[name].float() - value).norm()
        assert difference <= error * value.norm(), f"{name}: {difference / value.norm():.4f}"


@pytest.mark.parametrize("units", [1, 4, SIZE])
@pytest.mark.parametrize("kind", [BandMap, GatedRecurrence])
def test_units_equal_plain_sums_of_that_size(kind: type, units: int) -> None:
    layer, (x, state) = branch(kind), stream()
    results = [
        gradients(function, layer, x, state, torch.float32)
        for function in (
            lambda x, state: run(layer, x, units, state),
            lambda x, state: plain(layer, units, x, state),
        )
    ]
    for got, expected in zip(*results, strict=True):
        assert_near(got, expected, 1e-5)
    assert (results[0][0]["made"] - x).abs().max() > 0.01, "the branch does something"


@needs_compiler
@pytest.mark.parametrize("units", [1, 4, SIZE])
@pytest.mark.parametrize("kind", [BandMap, GatedRecurrence])
def test_kernels_equal_plain_sums_to_bfloat16(kind: type, units: int) -> None:
    layer, (x, state) = branch(kind, seed=7), stream()  # in which no sum lies at the edge of the ReLU
    assert kernels.usable(x.bfloat16())
    assert not kernels.usable(x)
    got = gradients(lambda x, state: run(layer, x, units, state), layer, x, state, torch.bfloat16)
    expected = gradients(lambda x, state: plain(layer, units, x, state), layer, x, state, torch.float32)
    assert got[0]["made"].dtype == torch.bfloat16
    assert got[0]["after"].dtype == torch.float32, "the state keeps its precision"
    for values, wanted in zip(got, expected, strict=True):
        assert_near(values, wanted, BF16_ERROR)


@needs_compiler
@pytest.mark.parametrize("kind", [BandMap, GatedRecurrence])
def test_kernels_take_streams_that_lie_otherwise_in_memory(kind: type) -> None:
    layer, (x, state) = branch(kind), stream()
    turned = x.bfloat16().transpose(0, 1).contiguous().transpose(0, 1)
    assert not turned.is_contiguous()
    for one, other in zip(run(layer, turned, 4, state), run(layer, x.bfloat16(), 4, state), strict=True):
        assert torch.equal(one, other)
    made = run(layer, turned.requires_grad_(), SIZE, state)[0]
    made.sum().backward()  # whose gradient is one number everywhere, of no stride
    x = x.bfloat16().requires_grad_()
    (run(layer, x, SIZE, state)[0] * torch.ones(made.shape)).sum().backward()
    assert turned.grad is not None
    torch.testing.assert_close(turned.grad, x.grad)


def test_streams_too_wide_for_the_kernels_run_in_pytorch() -> None:
    assert not kernels.usable(torch.zeros(1, 1, kernels.MOST_BANDS + 1, 4, dtype=torch.bfloat16))
    assert not kernels.usable(torch.zeros(1, 1, 4, kernels.MOST_CHANNELS + 1, dtype=torch.bfloat16))


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13])
def test_scan_equals_a_loop(steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    keep = torch.rand(steps, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    added, state = (
        torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((steps, 2, 3), (2, 3))
    )
    looped, h = [], state
    for a, b in zip(keep, added, strict=True):
        h = a * h + b
        looped.append(h)
    got, expected = scan(keep, added, state), torch.stack(looped)
    torch.testing.assert_close(got, expected)
    slope = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(
        *(torch.autograd.grad((value * slope).sum(), [keep, added, state]) for value in (got, expected)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [BandMap, GatedRecurrence])
def test_masks_equal_slices_by_row_and_frame(kind: type, dtype: torch.dtype) -> None:
    layer, (x, state) = branch(kind).requires_grad_(False), stream()
    counts = torch.randperm(BATCH * FRAMES, generator=torch.Generator().manual_seed(2)) % (SIZE + 1)
    counts = counts.view(BATCH, FRAMES)
    made, after = run(layer, x.to(dtype), counts_to_mask(counts, SIZE).transpose(0, 1), state)
    expected, ends = torch.empty(x.shape), torch.empty(state.shape)
    for row in range(BATCH):
        held = state[row : row + 1]
        for frame in range(FRAMES):
            own = x[frame : frame + 1, row : row + 1].to(dtype)
            alone, held = run(layer, own, int(counts[row, frame]), held)
            expected[frame, row] = alone[0, 0].float()
        ends[row] = held[0]
    error = BF16_ERROR if dtype == torch.bfloat16 else 1e-6
    assert_near({"made": made, "after": after}, {"made": expected, "after": ends}, error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", [BandMap, GatedRecurrence])
def test_no_units_add_nothing(kind: type, masked: bool, dtype: torch.dtype) -> None:
    layer, (x, state) = branch(kind), stream()
    made, after = run(layer, x.to(dtype), torch.zeros(FRAMES, BATCH, SIZE) if masked else 0, state)
    assert torch.equal(made, x.to(dtype))
    assert torch.equal(after, state)


@pytest.mark.parametrize("masked", [False, True])
def test_units_that_are_not_kept_hold_their_state_and_feed_nobody(masked: bool) -> None:
    layer, (x, state) = branch(GatedRecurrence).requires_grad_(False), stream()
    kept = 3
    hidden = counts_to_mask(torch.full((FRAMES, BATCH), kept), SIZE) if masked else kept
    made, after = layer(x, hidden, state)
    assert torch.equal(after[..., kept:], state[..., kept:])
    assert (after[..., :kept] - state[..., :kept]).abs().min() > 1e-4, "those that are kept move"
    other = torch.cat([state[..., :kept], 5 - state[..., kept:]], dim=2)
    again, after_other = layer(x, hidden, other)
    assert torch.equal(again, made)
    assert torch.equal(after_other[..., kept:], other[..., kept:])


def test_any_first_units_have_short_and_long_time_constants() -> None:
    keep = torch.sigmoid(GatedRecurrence(BANDS, CHANNELS, 192).in_bias[:, 0])
    frames = -1 / keep.log()
    for first in (16, 96, 192):
        assert frames[:first].min() < 1.3
        assert frames[:first].max() > 75
        assert 7.5 < frames[:first].log().mean().exp() < 10.5, "spread evenly: ten frames in the middle"
    assert frames.min() > 0.99
    assert frames.max() < 101


# The network


def changing(model: Any, frames: int, batch: int = 1, seed: int = 4) -> Tensor:
    """Levels (batch, frame), rests among them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(REST, model.sites[0].units, (batch, frames), generator=generator)


@pytest.mark.parametrize("masked", [False, True])
def test_blocks_left_out_hold_their_state(masked: bool) -> None:
    backbone = copy.deepcopy(build(TINY).backbone)
    x = torch.randn(2, 4 * backbone.frame_samples, generator=torch.Generator().manual_seed(3))
    state = {name: torch.randn(2, *shape) for name, shape in backbone.state_shapes().items()}
    keep: int | Tensor = counts_to_mask(torch.ones(2, 4), 3).requires_grad_() if masked else 1
    made, after = backbone(x, {"scale": keep}, state)
    for name in ("time.1", "time.2"):
        torch.testing.assert_close(after[name], state[name], rtol=0, atol=0)
    assert not torch.equal(after["time.0"], state["time.0"])
    if not masked:
        for parameter in backbone.blocks[1:].parameters():
            nn.init.constant_(parameter, float("nan"))
        assert torch.equal(backbone(x, {"scale": keep}, state)[0], made), "nothing of them is touched"


def test_a_rest_holds_all_states_of_the_network() -> None:
    model, hop = build(TINY), TINY.hop_length
    x = audio(model, 12)
    plan = levels_plan(model.sites, torch.tensor([[2] * 4 + [REST] * 4 + [1] * 4]))
    spans = [slice(4 * part, 4 * part + 4) for part in range(3)]
    states, state = [], None
    for span in spans:
        part = {name: keep[:, span] for name, keep in plan.items()}
        state = model(x[..., span.start * hop : span.stop * hop], part, state).state
        states.append(state)
    for name in (name for name in states[0] if name.startswith("backbone.")):
        assert torch.equal(states[1][name], states[0][name])
        assert name == "backbone.time.2" or not torch.equal(states[2][name], states[1][name]), name


def test_a_rest_lowers_what_comes_in_by_24_db() -> None:
    model, frames = build(TINY), 40
    time = torch.arange(frames * TINY.hop_length)
    x = 0.3 * torch.sin(2 * torch.pi * 0.11 * time).view(1, 1, -1)
    x = x + 0.1 * torch.sin(2 * torch.pi * 0.31 * time)
    made = model(x, levels_plan(model.sites, torch.full((1, frames), REST))).audio
    late = model.lookahead_samples
    lowered = made[..., late + 10 * late :]
    heard = x[..., 10 * late : -late]
    assert 20 * math.log10(float(lowered.norm() / heard.norm())) == pytest.approx(-23.9, abs=0.1)
    assert float((lowered - 0.064 * heard).norm() / lowered.norm()) < 0.03, "and by no more than that"


@pytest.mark.parametrize("chunks", [[1] * 24, [3] * 8, [5, 1, 7, 11]], ids=str)
def test_streaming_equals_offline_with_rests_and_levels(chunks: list[int]) -> None:
    model, hop, frames = build(TINY), TINY.hop_length, 24
    x, plan = audio(model, frames, batch=3), levels_plan(build(TINY).sites, changing(model, frames, 3))
    whole = model(x, plan)
    made, state, first = [], None, 0
    for length in chunks:
        span = slice(first, first + length)
        part = {name: keep[:, span] for name, keep in plan.items()}
        done = model(x[..., first * hop : (first + length) * hop], part, state)
        made.append(done.audio)
        state, first = done.state, first + length
    assert first == frames
    torch.testing.assert_close(torch.cat(made, -1), whole.audio, atol=1e-5, rtol=0)
    for name, value in whole.state.items():
        torch.testing.assert_close(state[name], value, atol=1e-5, rtol=1e-4)


def test_each_row_rests_by_itself() -> None:
    model = build(TINY)
    x, levels = audio(model, 9, batch=3), changing(model, 9, 3, seed=5)
    together = model(x, levels_plan(model.sites, levels)).audio
    for row in range(3):
        alone = model(x[row : row + 1], levels_plan(model.sites, levels[row : row + 1])).audio
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=0)


def test_gradients_pass_over_a_rest() -> None:
    """Frames after a rest send gradients to the frames before it."""
    model = copy.deepcopy(build(TINY))
    x = audio(model, 12).requires_grad_()
    plan = levels_plan(model.sites, torch.tensor([[2] * 4 + [REST] * 4 + [2] * 4]))
    model(x, plan).audio[..., 10 * TINY.hop_length :].square().sum().backward()
    assert x.grad is not None
    assert x.grad[..., : 3 * TINY.hop_length].any()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@needs_compiler
def test_the_network_under_autocast_is_as_near_as_pytorch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a sum changes its side of a ReLU by rounding, gradients differ by more than rounding."""
    model = copy.deepcopy(build(TINY))
    x, plan = audio(model, 12, batch=2), levels_plan(model.sites, changing(model, 12, 2))

    def results(cast: bool) -> dict[str, Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
            made = model(x, plan).audio
        made.float().square().mean().sqrt().backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        assert len(found) == len(list(model.parameters()))
        return {"audio": made.detach(), **found}

    exact, quick = results(cast=False), results(cast=True)
    monkeypatch.setattr(kernels, "usable", lambda x: False)
    for name, slow in results(cast=True).items():
        errors = [(value.float() - exact[name]).norm() / exact[name].norm() for value in (quick[name], slow)]
        assert 0 < errors[0] <= 1.5 * errors[1] + BF16_ERROR, name


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A machine on which nothing is compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kernels.library.cache_clear()
    yield monkeypatch
    kernels.library.cache_clear()


@pytest.mark.parametrize(
    ("program", "told"), [(None, "there is no C compiler"), ("false", "false cannot compile")]
)
def test_training_goes_on_without_a_compiler(
    no_kernels: pytest.MonkeyPatch, program: str | None, told: str
) -> None:
    no_kernels.setattr(compiled, "compiler", lambda: program)
    with pytest.warns(UserWarning, match=f"training runs without its C kernels, and slower: {told}"):
        assert kernels.library() is None
    layer, (x, state) = branch(GatedRecurrence), stream()
    assert not kernels.usable(x.bfloat16())
    got = gradients(lambda x, state: layer(x, 4, state), layer, x, state, torch.bfloat16)
    expected = gradients(lambda x, state: plain(layer, 4, x, state), layer, x, state, torch.float32)
    for values, wanted in zip(got, expected, strict=True):
        assert_near(values, wanted, 2 * BF16_ERROR)


@needs_compiler
def test_training_goes_on_where_nothing_can_be_kept(no_kernels: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with pytest.warns(UserWarning, match="training runs without its C kernels, and slower: .*cache"):
        assert kernels.library() is None


def test_cost_of_the_defaults() -> None:
    config = GatedMixerConfig()
    model = config.build().eval()
    x = torch.randn(1, 1, 2 * model.hop_length)
    for level, millions in enumerate((56.3, 256.0, 747.5)):
        plan = level_plan(model.sites, level)
        cost = macs_per_sample(model, plan)
        assert cost * config.sample_rate / 1e6 == pytest.approx(millions, abs=0.05)
        assert count_macs(model, x, plan) == cost * x.numel()
    assert parameters(model) == pytest.approx(455_000, abs=500)
    assert model.latency_samples / model.sample_rate == 0.032


@pytest.mark.parametrize("config", [GatedMixerConfig(), TINY], ids=["default", "tiny"])
def test_a_fresh_network_hands_its_input_on(config: GatedMixerConfig) -> None:
    torch.manual_seed(0)
    model = config.build().eval()
    x = audio(model, 40)
    for level in range(config.levels):
        with torch.no_grad():
            y = model.enhance_clip(x, level_plan(model.sites, level))
        assert (y - x).norm() < 0.35 * x.norm()


def test_bands_are_told_apart_and_cover_all_bins() -> None:
    backbone = build(TINY).backbone
    state = {name: torch.zeros(1, *shape) for name, shape in backbone.state_shapes().items()}
    x = torch.randn(1, backbone.frame_samples, generator=torch.Generator().manual_seed(6)).requires_grad_()
    mask, _ = backbone(x, {"scale": 3}, state)
    mask.square().sum().backward()
    assert x.grad is not None
    assert x.grad.ne(0).all()
    assert mask.shape == (1, 2 * backbone.bins)
    assert len(mask.unique()) == mask.numel(), "a value of its own for each bin"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": ()}, "model.blocks is []"),
        ({"blocks": (0, 1, 2)}, "model.blocks is [0, 1, 2]"),
        ({"blocks": (2, 1, 3)}, "model.blocks is [2, 1, 3]"),
        ({"blocks": (1, 2)}, "model.band_units is [48, 64, 96]; give a number for each of 2 levels"),
        ({"time_units": (0, 32, 48)}, "model.time_units is [0, 32, 48]"),
        ({"sample_rate": 0}, "model.sample_rate is 0"),
        ({"channels": 0}, "model.channels is 0"),
        ({"level_seconds": 0}, "model.level_seconds is 0"),
        ({"activity_units": -1}, "model.activity_units is -1"),
        ({"n_fft": 500}, "model.n_fft is 500; use two hops, 512"),
        ({"bands": ((256, 1),)}, "model.bands is ((256, 1),)"),
        ({"bands": ((16, 8), (8, 8))}, "the bins must sum to 256"),
    ],
    ids=str,
)
def test_refused_configurations(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        GatedMixerConfig(**values)


def test_lists_from_a_file_are_as_good_as_tuples() -> None:
    values: dict[str, Any] = {"bands": [[16, 8], [8, 16]], "blocks": [1, 4, 8]}
    assert GatedMixerConfig(**values) == GatedMixerConfig()
    assert hash(GatedMixerConfig(**values)) == hash(GatedMixerConfig())
