"""Tests of rests of DEMUCS: what is held, what passes, and how one turns into the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.backbones.demucs import DemucsConfig, fade
from sese.nn.enhancer import Enhancer
from sese.nn.plan import REST, Plan
from sese.nn.policies.activity import QUIET_GAIN
from sese.nn.policies.fixed import levels_plan

CONFIG = DemucsConfig(channels=8, depth=3, oversampling=1, groups=2, layers=1, activity_units=6)
LEVELS = CONFIG.levels
AWAKE = [1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1]


@pytest.fixture(params=[1, 2], ids=["x1", "x2"])
def model(request: pytest.FixtureRequest) -> Enhancer:
    torch.manual_seed(1)
    return replace(CONFIG, oversampling=request.param).build().eval()


def sound(model: Enhancer, frames: int, rows: int = 1) -> Tensor:
    return 0.1 * torch.randn(rows, 1, frames * model.hop_length, generator=torch.Generator().manual_seed(2))


def resting(awake: list[int], gain: float = QUIET_GAIN) -> Plan:
    """The highest level where `awake` is 1, else a rest with this gain."""
    rests = 1 - torch.tensor([awake], dtype=torch.float32)
    return levels_plan(CONFIG.build().sites, LEVELS * torch.tensor([awake]) - 1) | {REST: gain * rests}


@torch.no_grad()
def test_without_a_rest_it_is_the_network_without_rests(model: Enhancer) -> None:
    plain = replace(CONFIG, activity_units=0, oversampling=model.features.stages + 1).build().eval()
    weights = {name: weight for name, weight in model.state_dict().items() if not name.startswith("policy.")}
    plain.load_state_dict(weights)
    x, plan = sound(model, 12), {"width": 2}
    assert torch.equal(model(x, plan).audio, plain(x, plan).audio)


@torch.no_grad()
def test_at_rest_the_late_input_passes(model: Enhancer) -> None:
    """The level ramps, the offset settles, and a change of rate and back has its own error."""
    x = sound(model, 40)
    made = model(x, resting([0] * 40, gain=0.25)).audio
    late = model.lookahead_samples
    expected, got = 0.25 * x[..., :-late], made[..., late:]
    settled = slice(20 * model.hop_length, None)
    error = (got - expected)[..., settled].square().mean() / expected[..., settled].square().mean()
    assert error < (0.01 if model.features.stages == 0 else 0.05)


@torch.no_grad()
def test_states_are_held_at_rest(model: Enhancer) -> None:
    """Frames that are awake compute what they compute where the others are cut out."""
    backbone = model.backbone
    x = torch.randn(1, len(AWAKE) * backbone.frame_samples, generator=torch.Generator().manual_seed(3))
    state = {name: x.new_zeros(1, *shape) for name, shape in backbone.state_shapes().items()}
    made, after = backbone(x, resting(AWAKE), state)
    awake = torch.tensor(AWAKE).nonzero().squeeze(1)
    frames = x.unflatten(1, (-1, backbone.frame_samples))
    cut, held = backbone.awake(frames[:, awake].flatten(1), {"width": LEVELS}, state)
    assert set(after) == set(held) | {"passed", "rest"}
    for name, value in held.items():
        torch.testing.assert_close(after[name], value)
    # From the second frame after a rest on, the output is the network's, behind the fade.
    start = int(backbone.frame_samples * 0.25)
    own = cut.unflatten(1, (-1, backbone.frame_samples))
    shown = [(place, at) for place, at in enumerate(awake.tolist()) if at == 0 or AWAKE[at - 1]]
    got = made.unflatten(1, (-1, backbone.frame_samples))
    for place, at in shown:
        torch.testing.assert_close(got[:, at, start:], own[:, place, start:])


@torch.no_grad()
def test_the_first_frame_after_a_rest_passes(model: Enhancer) -> None:
    """The network's output is late: in this frame it belongs to a frame that it did not hear."""
    backbone = model.backbone
    x = torch.randn(1, len(AWAKE) * backbone.frame_samples, generator=torch.Generator().manual_seed(3))
    state = {name: x.new_zeros(1, *shape) for name, shape in backbone.state_shapes().items()}
    made, _ = backbone(x, resting(AWAKE, gain=0.25), state)
    late = torch.nn.functional.pad(x, (backbone.lookahead_samples, 0))[:, : x.shape[1]]
    got, passed = (signal.unflatten(1, (-1, backbone.frame_samples))[0] for signal in (made, 0.25 * late))
    after_rest = [at for at in range(1, len(AWAKE)) if AWAKE[at] and not AWAKE[at - 1]]
    assert after_rest
    torch.testing.assert_close(got[after_rest], passed[after_rest])


@torch.no_grad()
def test_no_change_makes_a_step(model: Enhancer) -> None:
    """A slow input through a network that gives nothing: the output never jumps, whatever the gains."""
    backbone = model.backbone
    size, frames = backbone.frame_samples, len(AWAKE)
    x = torch.sin(torch.arange(frames * size) / (8 * size)).unsqueeze(0)
    gain = (1 - torch.tensor([AWAKE], dtype=torch.float32)) * torch.tensor([[0.03, 1.0] * (frames // 2)])
    state = {name: x.new_zeros(1, *shape) for name, shape in backbone.state_shapes().items()}
    made, _ = backbone.at_rest(torch.zeros_like(x), x, gain, state)
    steps = made.diff(dim=1).abs().amax()
    assert steps < 1.1 / (size * 0.25)
    assert made.abs().amax() > 0.5
    assert fade(size)[0] == 1
    assert fade(size)[-1] == 0


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[1] * 18, [7, 1, 10], [2, 16]], ids=str)
def test_streams_exactly_with_changes_of_level(model: Enhancer, chunks: list[int]) -> None:
    generator = torch.Generator().manual_seed(4)
    rows = 3
    levels = torch.randint(-1, LEVELS, (rows, 18), generator=generator)
    gains = torch.rand(rows, 18, generator=generator) * (levels < 0)
    plan = levels_plan(model.sites, levels) | {REST: gains}
    x = sound(model, 18, rows)
    whole = model(x, plan)
    state, made, at = None, [], 0
    for count in chunks:
        part = {name: keep[:, at : at + count] for name, keep in plan.items()}
        span = slice(at * model.hop_length, (at + count) * model.hop_length)
        done = model(x[..., span], part, state)
        state, at = done.state, at + count
        made.append(done.audio)
    torch.testing.assert_close(torch.cat(made, dim=2), whole.audio, atol=1e-6, rtol=0)
    for name, value in whole.state.items():
        torch.testing.assert_close(state[name], value, atol=1e-5, rtol=0)


@torch.no_grad()
def test_rows_rest_apart(model: Enhancer) -> None:
    """A row is enhanced as it is alone, whatever the others do."""
    x, plans = sound(model, 18, 2), [resting(AWAKE), resting(AWAKE[::-1])]
    both = {name: torch.cat([plan[name] for plan in plans]) for name in plans[0]}
    together = model(x, both).audio
    for row, plan in enumerate(plans):
        alone = model(x[row : row + 1], plan).audio
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=0)


def test_gradients_reach_the_network_through_rests(model: Enhancer) -> None:
    plan = {name: keep for name, keep in resting(AWAKE).items() if name != REST}
    model(sound(model, len(AWAKE), 2), plan).audio.square().sum().backward()
    for name, weight in model.backbone.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


@torch.no_grad()
def test_the_policy_hears_bands(model: Enhancer) -> None:
    """Tones in their bands, at a steady level."""
    bands = model.features.bands
    time = torch.arange(40 * model.hop_length) / model.sample_rate
    for band in range(1, bands, 3):
        bins = (band + 0.5) * model.hop_length / 2 / bands - 0.5
        tone = torch.sin(2 * torch.pi * bins * model.sample_rate / model.hop_length * time)
        for size in (0.5, 0.01):
            audio = (size * tone).unsqueeze(0)
            state = {
                name: audio.new_zeros(1, *shape) for name, shape in model.features.state_shapes().items()
            }
            signal, context, _ = model.features(audio, state)
            heard = model.features.evidence(audio, signal, context).unflatten(1, (-1, bands))
            assert int(heard[0, -1].argmax()) == band
            assert 0.3 < float(heard[0, -1, band]) < 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stride": 3, "depth": 5}, "a frame has 243 samples; rests need half a frame"),
        ({"activity_units": -1}, "model.activity_units is -1"),
        (
            {"router_channels": 4},
            "model.router_channels is 4 and model.activity_units 6; one of them decides",
        ),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **values)
