"""Slimmable DEMUCS against the published network, its numbers, and networks that are narrow for good."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract import audio, build, count_macs
from sese.core.errors import InputError
from sese.nn.backbones.demucs import Demucs, DemucsConfig
from sese.nn.cost import macs_per_sample, parameters, parameters_used, prefixes
from sese.nn.enhancer import Enhancer
from sese.nn.layers.conv import SlimDecoderBlock, SlimEncoderBlock
from sese.nn.plan import Plan, Site
from sese.nn.policies.fixed import level_plan
from sese.nn.state import fresh
from sese.training.config import read

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
SMALL = DemucsConfig(channels=8, depth=3, oversampling=1, groups=2)


class Published(nn.Module):
    """DEMUCS as published (arXiv 2006.12847, with the GRUs of arXiv 2507.04879): whole clips, no padding."""

    def __init__(self, widths: tuple[int, ...], groups: int, layers: int):
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for outer, inner in itertools.pairwise(widths):
            self.encoder.append(
                nn.Sequential(
                    nn.Conv1d(outer, inner, 8, 4), nn.ReLU(), nn.Conv1d(inner, 2 * inner, 1), nn.GLU(1)
                )
            )
            last = nn.Identity() if outer == 1 else nn.ReLU()
            decoder = [
                nn.Conv1d(inner, 2 * inner, 1),
                nn.GLU(1),
                nn.ConvTranspose1d(inner, outer, 8, 4),
                last,
            ]
            self.decoder.insert(0, nn.Sequential(*decoder))
        size = widths[-1] // groups
        self.grus = nn.ModuleList(nn.GRU(size, size, layers, batch_first=True) for _ in range(groups))

    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, time)
        skips = []
        for encoder in self.encoder:
            x = encoder(x)
            skips.append(x)
        groups = x.transpose(1, 2).chunk(len(self.grus), dim=2)
        x = torch.cat([gru(part)[0] for gru, part in zip(self.grus, groups, strict=True)], dim=2).transpose(
            1, 2
        )
        for decoder in self.decoder:
            x = decoder(x + skips.pop()[..., : x.shape[-1]])
        return x

    @torch.no_grad()
    def copy_from(self, demucs: Demucs) -> None:
        for theirs, ours in zip(self.encoder, demucs.encoder, strict=True):
            theirs[0].weight.copy_(ours.conv_weight.unflatten(1, (8, -1)).transpose(1, 2))
            theirs[0].bias.copy_(ours.conv_bias)
            theirs[2].weight.copy_(ours.pointwise_weight.T.unsqueeze(2))
            theirs[2].bias.copy_(ours.pointwise_bias)
        for theirs, ours in zip(self.decoder, demucs.decoder, strict=True):
            theirs[0].weight.copy_(torch.cat([ours.value_weight, ours.gate_weight]).unsqueeze(2))
            theirs[0].bias.copy_(torch.cat([ours.value_bias, ours.gate_bias]))
            theirs[2].weight.copy_(ours.conv_weight.unflatten(1, (8, -1)).transpose(1, 2))
            theirs[2].bias.copy_(ours.conv_bias)
        for group, theirs in enumerate(self.grus):
            for layer in range(demucs.gru.layers):
                getattr(theirs, f"weight_ih_l{layer}").copy_(demucs.gru.input_weight[layer, group].T)
                getattr(theirs, f"weight_hh_l{layer}").copy_(demucs.gru.hidden_weight[layer, group].T)
                getattr(theirs, f"bias_ih_l{layer}").copy_(demucs.gru.input_bias[layer, group, 0])
                getattr(theirs, f"bias_hh_l{layer}").copy_(demucs.gru.hidden_bias[layer, group, 0])


@pytest.mark.parametrize(
    "config", [SMALL, DemucsConfig(channels=4, depth=4, oversampling=1, groups=4, layers=1)]
)
def test_everything_kept_is_the_published_network(config: DemucsConfig):
    demucs = copy.deepcopy(build(config)).backbone
    # What is before the first sample differs: the streamed network starts from hidden states of zero, the
    # published one sees zeros through biased layers. Without these biases the two agree from sample one.
    with torch.no_grad():
        for name, parameter in demucs.encoder.named_parameters():
            parameter *= 0.0 if name.endswith("bias") else 1.0
    published = Published(demucs.channels, demucs.gru.groups, demucs.gru.layers)
    published.copy_from(demucs)
    x = torch.randn(2, 12 * demucs.frame_samples)
    streamed, _ = demucs(x, {"width": 4}, fresh(demucs.state_shapes(), 2, x))
    # Zeros in front by the stated lookahead make the published network's aligned output as late as ours.
    late = demucs.lookahead_samples
    whole = published(F.pad(x, (late, 3 * late)).unsqueeze(1)).squeeze(1)[:, : x.shape[1]]
    assert streamed.shape == whole.shape
    assert (streamed.std(dim=1) > 0.01).all()
    torch.testing.assert_close(streamed, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("units", [1, 2, 3])
def test_sliced_equals_a_network_of_that_width(units: int):
    model = build(SMALL)
    narrow = extracted(model, units)
    assert parameters(narrow) == parameters_used(model, units) < parameters(model)
    x = audio(model, 6, batch=2)
    expected = model(x, {"width": units}).audio
    torch.testing.assert_close(narrow(x).audio, expected, atol=1e-6, rtol=0)
    assert macs_per_sample(narrow, {"width": 1}) == macs_per_sample(model, {"width": units})


@pytest.mark.parametrize("units", [1, 3, 4])
def test_a_level_uses_the_beginnings_that_it_names(units: int):
    model = build(SMALL)
    x = audio(model, 6)
    expected = model(x, {"width": units}).audio
    other = copy.deepcopy(model)
    lengths = prefixes(other, units)
    assert set(lengths) <= set(other.state_dict())
    with torch.no_grad():
        for name, ends in lengths.items():
            weight, kept = other.get_parameter(name), tuple(slice(end) for end in ends)
            values = weight[kept].clone()
            weight.fill_(float("nan"))
            weight[kept] = values
    assert torch.equal(other(x, {"width": units}).audio, expected)


def extracted(model: Enhancer, units: int) -> Enhancer:
    """The same network with blocks that are narrow for good."""
    narrow = copy.deepcopy(model)
    backbone = narrow.backbone
    backbone.sites = (Site("width", (1.0,)),)
    whole = {"pointwise_bias"}  # all other weights of an encoder begin with the hidden axis
    for level, block in enumerate(model.backbone.encoder):
        width, outer, inner = block.widths[units - 1], *backbone.channels[level : level + 2]
        backbone.encoder[level] = SlimEncoderBlock(outer, inner, backbone.stride, (width,))
        load_first(backbone.encoder[level], block, width, whole)
    whole = {"conv_bias"}
    for level, block in enumerate(model.backbone.decoder):
        width, (inner, outer) = block.widths[units - 1], backbone.channels[::-1][level : level + 2]
        backbone.decoder[level] = SlimDecoderBlock(inner, outer, backbone.stride, (width,), last=block.last)
        load_first(backbone.decoder[level], block, width, whole)
    return narrow


def load_first(narrow: nn.Module, wide: nn.Module, width: int, whole: set[str]) -> None:
    weights = wide.state_dict()
    narrow.load_state_dict({name: w if name in whole else w[:width] for name, w in weights.items()})


class Delay(nn.Module):
    """A backbone without a network: it hands its input on, `lookahead_samples` late."""

    sites = ()

    def __init__(self, lookahead_samples: int):
        super().__init__()
        self.lookahead_samples = lookahead_samples

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"line": (self.lookahead_samples,)}

    def forward(self, x: Tensor, plan: Plan, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        line = torch.cat([state["line"], x], dim=1)
        return line[:, : x.shape[1]], {"line": line[:, x.shape[1] :]}


@pytest.mark.parametrize("oversampling", [1, 2, 4])
def test_stated_lookahead_is_where_the_output_lies(oversampling: int):
    """Around a backbone that only delays, as long as DEMUCS says it does, the clip comes back in its place.

    That DEMUCS itself is late by what it says is in the comparison with the published network above.
    """
    model = copy.deepcopy(build(DemucsConfig(channels=8, depth=3, oversampling=oversampling, groups=2)))
    model.backbone = Delay(model.backbone.lookahead_samples)
    t = torch.arange(16000) / model.sample_rate
    loudness = 0.02 + torch.sin(2 * torch.pi * 3 * t).square()  # the level, too, has to return to its place
    x = sum(torch.sin(2 * torch.pi * hz * t + hz) for hz in (200, 1100, 3300, 6000)) * loudness / 8
    y = model.enhance_clip(x.view(1, 1, -1)).view(-1)
    middle = slice(200, -200)  # a clip that begins or ends abruptly is not band-limited
    assert (y - x)[middle].square().mean() < 1e-4 * x[middle].square().mean(), "-40 dB"
    assert (y - x.roll(1))[middle].square().mean() > 1e-2 * x[middle].square().mean(), "a sample off is seen"


@pytest.mark.parametrize("name", ["default", "base", "small"])
def test_latency_of_real_configurations(name: str):
    config = DemucsConfig() if name == "default" else read(CONFIGS / "demucs" / f"{name}.yaml").model
    model = config.build()
    assert model.hop_length / model.sample_rate == 0.016
    assert model.latency_samples == model.lookahead_samples + model.hop_length
    assert model.latency_samples / model.sample_rate <= 0.040


def test_cost_and_size_of_the_paper():
    model = DemucsConfig().build().eval()
    # The paper's totals hold a router of 16.5 MACs a sample, which is no part of this backbone; the rest is
    # resampling 672, GRU 1536, and 53760 v for the utilization factor v.
    router = 16.5
    x = torch.randn(1, 1, 4 * model.hop_length)
    for level, published in enumerate((8944, 15664, 29104, 55985)):
        plan = level_plan(model.sites, level)
        cost = macs_per_sample(model, plan)
        assert cost + router == pytest.approx(published, abs=1)
        assert cost == pytest.approx(published, rel=0.005)
        assert count_macs(model, x, plan) == cost * x.numel()
    sizes = [
        parameters(part) for part in (model.backbone.encoder, model.backbone.decoder, model.backbone.gru)
    ]
    assert sizes == [2_094_240, 2_093_729, 399_360]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"oversampling": 3}, "model.oversampling is 3"),
        ({"stride": 3}, "must be a multiple of"),
        ({"factors": (0.5, 0.25, 1.0)}, r"model.factors is \[0.5, 0.25, 1.0\]"),
        ({"factors": (0.0, 1.0)}, r"model.factors is \[0.0, 1.0\]"),
        ({"factors": (0.5,)}, r"model.factors is \[0.5\]"),
        ({"factors": ()}, r"model.factors is \[\]"),
        ({"groups": 7}, "model.groups is 7"),
    ],
)
def test_refused_configurations(values: dict, message: str):
    with pytest.raises(InputError, match=message):
        DemucsConfig(**values)


def test_hidden_widths_round_up():
    model = DemucsConfig(channels=4, depth=2, oversampling=1, factors=(0.3, 0.6, 1.0), groups=2).build()
    assert [block.widths for block in model.backbone.encoder] == [(2, 3, 4), (3, 5, 8)]
    assert [block.widths for block in model.backbone.decoder] == [(3, 5, 8), (2, 3, 4)]
