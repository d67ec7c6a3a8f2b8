from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from contract import TOLERANCE, BackboneContract, audio, build, count_macs, random_plan, seen_ahead
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.cost import macs_per_frame, macs_per_sample, parameters
from sese.nn.enhancer import Enhancer
from sese.nn.plan import full, utilization
from sese.nn.policies.channel_gates import open_where_positive
from sese.nn.policies.fixed import level_plan
from sese.nn.state import fresh
from sese.training.config import read
from sese.training.methods.pruning import pruning
from sese.training.task import EnhancementTask

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
GATED = ConvFSENetConfig(channels=8, hidden=16, stacks=1, blocks=2, units=16, gate_channels=4)


def gated() -> Enhancer:
    """Gates that are open in about half of the frames."""
    return build(GATED)


# The published network


def test_published_sizes():
    model = read(CONFIGS / "conv_fsenet" / "base.yaml").model.build()
    assert parameters(model) == 674_451
    assert model.macs()[0] + sum(sum(units) for units in model.macs()[1].values()) == 662_528
    assert macs_per_sample(model, full(model.sites)) * 16_000 / 1e6 == pytest.approx(41.4, abs=0.01)
    assert model.backbone.past == 42  # frames, of the causal network
    assert [site.name for site in model.sites] == [f"block.{i}" for i in range(9)]
    assert model.lookahead_samples == 256


def test_small_relative_of_the_published_grid():
    config = ConvFSENetConfig(hidden=32, stacks=1)
    assert macs_per_sample(config.build(), full(config.build().sites)) * 16_000 / 1e6 == pytest.approx(
        5.67, abs=0.005
    )


def test_published_share_of_channels_saves_what_the_paper_saves():
    model = read(CONFIGS / "conv_fsenet" / "dyncp.yaml").model.build()
    assert all(site.units == 256 for site in model.sites)
    quarter = level_plan(model.sites, 63)
    assert utilization(quarter, model.sites).item() == pytest.approx(0.25)
    saved = 1 - (macs_per_frame(model, quarter, routed=True) / 662_528).item()
    assert model.policy.macs() == 9 * (128 * 8 + 8 * 256)
    assert saved == pytest.approx(0.296, abs=0.005)


def test_small_member_fits_one_core():
    model = read(CONFIGS / "conv_fsenet" / "small.yaml").model.build()
    assert macs_per_sample(model, full(model.sites)) * 16_000 / 1e6 == pytest.approx(24.14, abs=0.01)


def test_a_mask_of_ones_gives_the_signal_back():
    model = build(ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2))
    x = audio(model, 6)
    state = fresh(model.state_shapes(), 1, x)
    parts = {name.removeprefix("features."): s for name, s in state.items() if name.startswith("features.")}
    signal, spectrum, _ = model.features(x.squeeze(1), parts)
    back, _ = model.head(torch.ones_like(signal), spectrum, {"overlap": state["head.overlap"]})
    torch.testing.assert_close(back[:, 256:], x.squeeze(1)[:, :-256], atol=1e-6, rtol=0)


def test_spectra_are_those_of_torch():
    model = build(ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2))
    x = audio(model, 6).squeeze(1)
    state = fresh(model.features.state_shapes(), 1, x)
    spectrum = model.features(x, state)[1].unflatten(1, (6, 2, 257))
    window = torch.hann_window(512)
    expected = torch.stft(x, 512, 256, window=window, center=False, return_complex=True).transpose(1, 2)
    torch.testing.assert_close(torch.view_as_real(expected).transpose(2, 3), spectrum[:, 1:])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"units": 3}, "units is 3"),
        ({"kernel": 1}, "kernel is 1"),
        ({"n_fft": 500}, "n_fft is 500"),
        ({"compression": 0.0}, "compression is 0"),
        ({"gate_channels": 4, "router_channels": 4}, "both set"),
        ({"surrogate": "step"}, "surrogate is 'step'"),
        ({"causal": False, "router_channels": 4}, "causal is false and model.router_channels is set"),
        ({"causal": False, "kernel": 4}, "use an odd number"),
    ],
)
def test_unusable_values_are_named(values: dict, named: str):
    with pytest.raises(InputError, match=named):
        ConvFSENetConfig(**values)


# Looking ahead

AHEAD = {
    "levels": ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2, causal=False),
    "gates": ConvFSENetConfig(channels=8, hidden=8, stacks=1, blocks=2, causal=False, gate_channels=4),
    "wide": ConvFSENetConfig(channels=8, hidden=8, stacks=2, blocks=1, kernel=5, causal=False),
}


@pytest.mark.parametrize("config", AHEAD.values(), ids=AHEAD)
class TestAhead(BackboneContract):
    def test_gradients_reach_every_mask(self, config: ConvFSENetConfig) -> None:
        """All but what is decided on frames before the first, which come out before the signal does."""
        model = build(config)
        late, frames = model.backbone.ahead, 5 + seen_ahead(model)
        plan = {name: keep.requires_grad_() for name, keep in random_plan(model, 2, frames).items()}
        model(audio(model, frames, batch=2), plan).audio.square().sum().backward()
        for keep in plan.values():
            assert torch.isfinite(keep.grad).all()
            assert (keep.grad[:, late : frames - late - 1] != 0).all()


def test_published_lookahead():
    model = ConvFSENetConfig(causal=False).build()
    assert (model.backbone.past, model.backbone.ahead) == (21, 21)
    assert model.lookahead_samples == 22 * 256  # 21 frames and the window's second half
    assert model.macs() == ConvFSENetConfig().build().macs()


def test_a_mask_is_that_of_blocks_that_see_both_sides():
    """Against convolutions that are padded on both sides, away from the clip's ends."""
    model = build(AHEAD["levels"])
    backbone, late = model.backbone, model.backbone.ahead
    x = torch.rand(1, 30, backbone.bins, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mask, _ = backbone(x.flatten(1), full(model.sites), fresh(backbone.state_shapes(), 1, x))
        stream = torch.relu(backbone.encoder(x))
        for number, block in enumerate(backbone.blocks):
            h = block.in_norm(block.in_slope(block.inward(stream)).transpose(1, 2))
            dilation = 2**number
            h = torch.nn.functional.conv1d(
                h, block.depthwise_weight, padding=dilation, dilation=dilation, groups=block.hidden
            )
            h = block.out_norm(block.out_slope(h)).transpose(1, 2)
            stream = stream + h @ block.out_weight
        expected = torch.sigmoid(backbone.decoder(stream))
    got = mask.unflatten(1, (30, -1))[:, late:]
    torch.testing.assert_close(got[:, 3 * late : -late], expected[:, 3 * late : -2 * late], atol=1e-6, rtol=0)


def test_gated_stream_that_looks_ahead_equals_the_clip():
    model = build(AHEAD["gates"])
    x = audio(model, 13, batch=2)
    with torch.no_grad():
        whole = model(x)
        outputs, masks, state = [], [], None
        for samples in x.split(5 * model.hop_length, dim=2):
            part = model(samples, None, state)
            outputs.append(part.audio)
            masks.append(part.plan["block.1"])
            state = part.state
    assert torch.equal(torch.cat(masks, 1), whole.plan["block.1"])
    torch.testing.assert_close(torch.cat(outputs, 2), whole.audio, atol=TOLERANCE, rtol=0)


# Gates


def test_gates_decide_for_each_channel_block_and_frame():
    model = gated()
    x = audio(model, 12, batch=2)
    with torch.no_grad():
        enhanced = model(x)
    for mask in enhanced.plan.values():
        assert mask.shape == (2, 12, 16)
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert (mask != mask[:, :1]).any()
        assert (mask.diff(dim=2) > 0).any(), "not only prefixes"
    first, second = enhanced.plan.values()
    assert not torch.equal(first, second)


def test_gated_masked_equals_sliced():
    model = gated()
    x = audio(model, 12, batch=3)
    masked = model(x)
    assert all(mask.requires_grad for mask in masked.plan.values())
    with torch.no_grad():
        sliced = model(x)
    assert not any(mask.requires_grad for mask in sliced.plan.values())
    torch.testing.assert_close(masked.audio, sliced.audio, atol=1e-6, rtol=0)
    torch.testing.assert_close(model(x, sliced.plan).audio, sliced.audio, atol=1e-6, rtol=0)


def test_gated_stream_equals_the_clip():
    model = gated()
    x = audio(model, 13, batch=2)
    with torch.no_grad():
        whole = model(x)
        for length in (1, 3, 5, 13):
            outputs, masks, state = [], [], None
            for samples in x.split(length * model.hop_length, dim=2):
                part = model(samples, None, state)
                outputs.append(part.audio)
                masks.append(part.plan["block.1"])
                state = part.state
            assert torch.equal(torch.cat(masks, 1), whole.plan["block.1"])
            torch.testing.assert_close(torch.cat(outputs, 2), whole.audio, atol=1e-5, rtol=0)


def test_gates_hear_no_later_frame():
    model = gated()
    x = audio(model, 12)
    changed = x.clone()
    changed[..., 7 * model.hop_length :] *= -3
    before, after = model(x).plan, model(changed).plan
    for name in before:
        assert torch.equal(before[name][:, :7], after[name][:, :7])
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_gated_cost_is_what_runs():
    model = gated()
    x = audio(model, 8, batch=2)
    with torch.no_grad():
        plan = model(x).plan
    assert count_macs(model, x, None) == macs_per_frame(model, plan, routed=True).sum()
    assert count_macs(model, x, plan) == macs_per_frame(model, plan).sum()


def test_a_frame_may_keep_nothing():
    model = gated()
    x = audio(model, 4)
    none = {site.name: torch.zeros(1, 1, 16) for site in model.sites}
    with torch.no_grad():
        y = model(x, none).audio
    assert torch.isfinite(y).all()
    assert count_macs(model, x, none) == 4 * model.macs()[0]


def test_half_open_masks_are_refused_without_gradients():
    model = gated()
    with pytest.raises(InputError, match="between 0 and 1"):
        model(audio(model, 2), {site.name: torch.full((1, 1, 16), 0.5) for site in model.sites})


@pytest.mark.parametrize("surrogate", ["sigmoid", "fast_sigmoid", "straight_through"])
def test_surrogates_replace_only_the_gradient(surrogate: str):
    scores = torch.tensor([0.0, -1.0, 1.0, 3.0], requires_grad=True)
    opened = open_where_positive(scores, surrogate, slope=2.0)
    assert opened.tolist() == [0, 0, 1, 1]
    opened.sum().backward()
    x = scores.detach().double()
    expected = {
        "sigmoid": 2 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x),
        "fast_sigmoid": 1 / (1 + 2 * x.abs()) ** 2,
        "straight_through": torch.ones(4).double(),
    }[surrogate]
    torch.testing.assert_close(scores.grad.double(), expected, atol=1e-6, rtol=1e-5)


def test_pruning_loss_is_the_distance_of_each_block():
    plan = {"a": torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), "b": torch.tensor([[[1.0, 1.0, 0.0, 1.0]]])}
    assert pruning(plan, 0.25).item() == pytest.approx(0.125)


def test_pruning_loss_closes_gates():
    torch.manual_seed(0)
    model = GATED.build()
    x = audio(model, 20, batch=4)
    optimizer = torch.optim.Adam(model.policy.parameters(), lr=0.02)
    shares = []
    for _ in range(40):
        plan = model(x).plan
        shares.append(utilization(plan, model.sites).mean().item())
        optimizer.zero_grad()
        pruning(plan, 0.25).backward()
        optimizer.step()
    assert abs(shares[0] - 0.25) > 0.1
    assert abs(shares[-1] - 0.25) < 0.05


# Training


def batch(rows: int = 4, time: int = 4096) -> Mixture:
    generator = torch.Generator().manual_seed(1)
    hum = 0.2 * torch.sin(torch.arange(time) * 0.1).expand(rows, 1, time)
    return Mixture(hum + 0.1 * torch.randn(rows, 1, time, generator=generator), hum, torch.zeros(rows))


def losses_of(training: EnhancementTask, steps: int) -> list[float]:
    optimizer = torch.optim.Adam(training.model.parameters(), lr=1e-2)
    found: list[float] = []
    for step in range(steps):
        loss: Tensor = training.training_step(batch(), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
@pytest.mark.parametrize("levels", ["random_level", "full"])
def test_a_few_steps_lower_the_loss(levels: str):
    torch.manual_seed(0)
    sizes = "{channels: 16, hidden: 16, stacks: 1, blocks: 2}"
    config = read(CONFIGS / "conv_fsenet" / "base.yaml", [f"training.method={levels}", f"model={sizes}"])
    found = losses_of(EnhancementTask(config), 12)
    assert found[-1] < 0.8 * found[0]
