"""BLOOM-Net against the published figures and a plain Conv-TasNet; grown block by block."""

from __future__ import annotations

import copy
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract import audio, build, count_macs, random_plan
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.bloom_net import BloomNet, BloomNetConfig, fourier_frame
from sese.nn.cost import macs_per_sample, parameters, parameters_used, prefixes
from sese.nn.plan import counts_to_mask
from sese.nn.policies.fixed import level_plan, levels_plan
from sese.nn.state import fresh
from sese.runtime.artefact import open_artefact
from sese.runtime.step import Step
from sese.training.config import parse, read
from sese.training.sweep import plan as sweep_plan
from sese.training.task import EnhancementTask

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
TINY = BloomNetConfig(hop_length=16, stride=4, filters=12, channels=6, hidden=8, blocks=3, dilation_growth=2)
PUBLISHED = [
    # level, parameters to run it, MMAC/s with the product of mask and features counted
    (1, 284_931, 561),
    (2, 420_741, 826),
    (3, 556_551, 1_092),
    (4, 692_361, 1_357),
    (5, 828_171, 1_622),
    (6, 963_981, 1_887),
]


@pytest.fixture(scope="module")
def published() -> Any:
    config = read(CONFIGS / "bloom_net" / "base.yaml").model
    assert config == BloomNetConfig()
    return config.build().eval()


@pytest.mark.parametrize(("units", "weights", "millions"), PUBLISHED)
def test_published_table(published: Any, units: int, weights: int, millions: int) -> None:
    plan = level_plan(published.sites, units - 1)
    assert parameters_used(published, units) == weights
    assert parameters(BloomNetConfig(blocks=1).build()) == PUBLISHED[0][1]
    products = 512 / 8  # mask times features, which we count as activations are counted: not
    assert (macs_per_sample(published, plan) + products) * 16000 / 1e6 == pytest.approx(millions, abs=0.5)
    x = torch.randn(1, 1, published.hop_length)
    assert count_macs(published, x, plan) == macs_per_sample(published, plan) * x.numel()


def test_all_levels_are_stored_once(published: Any) -> None:
    assert parameters(published) == 1_335_186
    assert published.latency_samples == 256 + 8
    backbone = published.backbone
    assert backbone.encoder.weight.shape == (512, 16)
    assert backbone.bottleneck.weight.shape == (128, 512)
    assert [block.depthwise.dilation for block in backbone.blocks] == [(1,)] * 6
    assert all(block.depthwise.weight.shape == (512, 1, 3) for block in backbone.blocks)
    assert all(block.expand.weight.shape == (512, 128) for block in backbone.blocks)
    assert len(backbone.masks) == len(backbone.decoders) == 6


def test_cost_of_the_small_member() -> None:
    model = read(CONFIGS / "bloom_net" / "small.yaml").model.build().eval()
    costs = [macs_per_sample(model, {"depth": units}) * 16000 / 1e6 for units in range(1, 5)]
    assert costs == pytest.approx([40.2, 58.9, 77.7, 96.4], abs=0.05)
    assert parameters(model) == 525_420
    assert [block.past for block in model.backbone.blocks] == [2, 6, 18, 54]


class Plain(nn.Module):
    """One level in convolutions over a whole clip, padded on the left."""

    def __init__(self, net: BloomNet, units: int):
        super().__init__()
        self.net, self.units = net, units

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time) -> (batch, time), late by a stride."""
        net, stride = self.net, self.net.stride
        padded = F.pad(x, (stride, 0)).unsqueeze(1)
        features = F.conv1d(padded, net.encoder.weight.unsqueeze(1), stride=stride)
        stream = pointwise(norm(features, net.norm), net.bottleneck)
        for block in net.blocks[: self.units]:
            h = norm(
                F.prelu(pointwise(stream, block.expand), block.expand_activation.weight), block.expand_norm
            )
            h = F.conv1d(
                F.pad(h, (block.past, 0)),
                block.depthwise.weight,
                block.depthwise.bias,
                dilation=block.dilation,
                groups=h.shape[1],
            )
            h = norm(F.prelu(h, block.depthwise_activation.weight), block.depthwise_norm)
            stream = stream + pointwise(h, block.project)
        activation, linear, _ = net.masks[self.units - 1]
        masked = pointwise(F.prelu(stream, activation.weight), linear).sigmoid() * features
        decoder = net.decoders[self.units - 1].weight.T.unsqueeze(1)
        return F.conv_transpose1d(masked, decoder, stride=stride).squeeze(1)[:, : x.shape[1]]


def pointwise(x: Tensor, linear: nn.Linear) -> Tensor:
    return F.conv1d(x, linear.weight.unsqueeze(2), linear.bias)


def norm(x: Tensor, layer: nn.BatchNorm1d) -> Tensor:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    factor = layer.weight / (layer.running_var + layer.eps).sqrt()
    return (x - layer.running_mean[:, None]) * factor[:, None] + layer.bias[:, None]


def test_fresh_filters_lose_nothing() -> None:
    """With masks of one half, as fresh ones are, the decoders give back what the encoder heard."""
    net = copy.deepcopy(build(TINY).backbone)
    with torch.no_grad():
        net.encoder.weight.copy_(fourier_frame(12, 8))
        for decoder in net.decoders:
            decoder.weight.copy_(2 * net.encoder.weight.T)
        for mask in net.masks:
            mask[1].weight.zero_()
            mask[1].bias.zero_()
    x = torch.randn(2, 6 * net.frame_samples, generator=torch.Generator().manual_seed(3))
    made, _ = net(x, {"depth": 2}, fresh(net.state_shapes(), 2, x))
    late = net.lookahead_samples
    torch.testing.assert_close(made[:, late:], x[:, :-late], atol=1e-5, rtol=0)


def test_a_level_that_is_new_begins_as_the_one_below(tmp_path: Path) -> None:
    small, large = (replace(TINY, blocks=blocks) for blocks in (1, 3))
    before = build(small)
    checkpoint.save(tmp_path, "bloom_net", small, before.state_dict())
    settings = {
        "method": "full",
        "initial": str(tmp_path),
        "train_only": ["backbone.blocks", "backbone.masks"],
    }
    settings["train_only"].append("backbone.decoders")
    grown = EnhancementTask(
        parse({"system": "bloom_net", "model": asdict(large), "training": settings})
    ).model
    clip = audio(before, 5)
    for level in range(3):
        expected = before.enhance_clip(clip)
        made = grown.eval().enhance_clip(clip, level_plan(grown.sites, level))
        torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("units", [1, 2, 3])
@torch.no_grad()
def test_a_level_equals_a_plain_network(units: int) -> None:
    net = build(TINY).backbone
    x = torch.randn(2, 12 * net.frame_samples, generator=torch.Generator().manual_seed(4))
    made, _ = net(x, {"depth": units}, fresh(net.state_shapes(), 2, x))
    expected = Plain(net, units)(x)
    assert expected.std() > 0.05
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("units", [1, 2, 3])
def test_a_level_uses_the_beginnings_that_it_names(units: int) -> None:
    model = build(TINY)
    x, plan = audio(model, 6), {"depth": units}
    expected = model(x, plan).audio
    other, ends = copy.deepcopy(model), prefixes(model, units)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name in ends:
                assert ends[name] == (0,)
                parameter.fill_(float("nan"))
    assert torch.equal(other(x, plan).audio, expected)
    for name, _ in model.named_parameters():
        spoiled = copy.deepcopy(model)
        with torch.no_grad():
            spoiled.get_parameter(name).fill_(float("nan"))
        assert spoiled(x, plan).audio.isnan().any() == (name not in ends), name


@pytest.mark.parametrize("masked", [False, True])
def test_frames_that_leave_a_block_out_are_silence_to_it(masked: bool) -> None:
    """Dilated by four, the last block hears two frames back: those left out count as frames of zeros."""
    model = build(TINY)
    levels = torch.tensor([[2, 2, 2, 0, 2, 2, 1, 0, 0, 0, 2, 2]])
    keep = counts_to_mask(levels + 1, 3)
    x = audio(model, 12)
    state, steps = model(x, {"depth": keep.requires_grad_(masked)}).state, model.backbone.steps
    history = model(x[..., : 10 * model.hop_length], {"depth": keep[:, :10].detach()}).state
    assert not history["backbone.block.2"].any(), "three frames without it outlast its memory"
    assert history["backbone.block.0"].all()
    assert state["backbone.block.2"].shape[1] == 8 == 2 * steps
    assert state["backbone.block.2"].all()


def test_gradients_of_slices_equal_those_of_masks() -> None:
    gradients = []
    for masked in (False, True):
        model = copy.deepcopy(build(TINY))
        keep = random_plan(model, 2, 6)["depth"].requires_grad_(masked)
        model(audio(model, 6, batch=2), {"depth": keep}).audio.square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient.any(), name
        assert (gradients[1][name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-6, name


# Training


def task(**training: Any) -> EnhancementTask:
    torch.manual_seed(0)
    blocks = training.pop("blocks", 3)
    model = {"hop_length": 64, "stride": 16, "filters": 24, "channels": 8, "hidden": 16, "blocks": blocks}
    training = {"losses": {"sdr": 1.0}, "learning_rate": 0.01, "warmup_steps": 1, **training}
    return EnhancementTask(parse({"system": "bloom_net", "model": model, "training": training}))


def mixture() -> Mixture:
    t = torch.arange(2048) / 16000
    clean = 0.2 * torch.sin(2 * torch.pi * torch.tensor([[[300.0]], [[450.0]]]) * t)
    noise = 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return Mixture(clean + noise, clean, torch.zeros(2))


@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
def learn(training: EnhancementTask, steps: int) -> list[float]:
    """Losses of so many steps on the same clips."""
    optimizer = training.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(steps):
        loss = training.training_step(mixture(), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def saved(training: EnhancementTask, folder: Path) -> str:
    checkpoint.save(folder, "bloom_net", training.config.model, training.model.state_dict())
    return str(folder)


@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")
def test_grown_block_by_block_then_tuned(tmp_path: Path) -> None:
    """Each block is trained over those before it, which stay bit by bit; tuning moves them all."""
    noisy = mixture().noisy
    before = task(blocks=1, method="full")
    losses = learn(before, 30)
    assert losses[-1] < losses[0] - 0.2, "2 dB"
    for block in (1, 2):
        parts = [f"backbone.{part}.{block}" for part in ("blocks", "masks", "decoders")]
        initial = saved(before, tmp_path / f"{block}")
        grown = task(blocks=block + 1, method="full", train_only=parts, initial=initial)
        losses = learn(grown, 30)
        assert losses[-1] < losses[0] - 0.2, "2 dB"
        old, new = before.model.state_dict(), grown.model.state_dict()
        assert all(torch.equal(new[name], value) for name, value in old.items())
        assert all(name.startswith(tuple(parts)) for name in set(new) - set(old))
        for level in range(block):
            plan = level_plan(before.model.sites, level)
            expected = before.model.eval().enhance_clip(noisy, plan)
            assert torch.equal(grown.model.eval().enhance_clip(noisy, plan), expected)
        before = grown
    tuned = task(method="all_levels", initial=saved(before, tmp_path / "all"))
    losses = learn(tuned, 10)
    assert losses[-1] < losses[0]
    for name, value in before.model.state_dict().items():
        assert not torch.equal(tuned.model.state_dict()[name], value), name


def test_only_what_is_named_is_trained() -> None:
    training = task(method="full", train_only=["backbone.blocks.1", "backbone.norm.bias"])
    named = {name for name, p in training.model.named_parameters() if p.requires_grad}
    expected = {name for name, _ in training.model.named_parameters() if ".blocks.1." in name}
    assert named == expected | {"backbone.norm.bias"}
    optimiser = training.configure_optimizers()["optimizer"]
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(named)


def test_beginnings_end_where_names_do() -> None:
    training = task(blocks=11, train_only="backbone.blocks.1")
    named = {name for name, p in training.model.named_parameters() if p.requires_grad}
    assert named
    assert all(name.startswith("backbone.blocks.1.") for name in named)
    for wrong in ("backbone.blocks.3", "backbone.block", "policy.gru"):
        with pytest.raises(InputError, match=re.escape(f"train_only names '{wrong}'")):
            task(train_only=wrong)
    with pytest.raises(InputError, match="train_only is empty"):
        task(train_only=[])


@pytest.mark.parametrize(
    ("sweep", "prefix", "twin", "tuned", "depths"),
    [
        ("bloom_net", "", "end-to-end", "fine-tuned", 6),
        ("comparison", "bloom-net-", "bloom-net-dense", "bloom-net", 4),
    ],
)
def test_sweeps_train_each_block_once_and_its_twins(
    sweep: str, prefix: str, twin: str, tuned: str, depths: int, tmp_path: Path
) -> None:
    runs = {run.folder.parent.name: run for run in sweep_plan(CONFIGS / "sweeps" / f"{sweep}.yaml", tmp_path)}
    trained: set[str] = set()
    steps = 0
    for blocks in range(1, depths + 1):
        config = runs[f"{prefix}block-{blocks}"].resolve()
        names = {name for name, _ in config.model.build().named_parameters()}
        only = config.training.train_only
        new = names if only == ("all",) else {n for n in names if n.startswith(tuple(f"{o}." for o in only))}
        assert not new & trained
        trained |= new
        assert names == trained, "what was there, and what is new"
        alone = runs[f"{twin}-{blocks}"].resolve()
        assert (alone.model, alone.training.initial, alone.training.method) == (config.model, "", "full")
        steps += config.training.steps
    last = runs[tuned].resolve()
    assert (last.training.method, last.training.train_only) == ("all_levels", ("all",))
    assert last.model.blocks == depths
    if sweep == "comparison":
        assert steps + last.training.steps == alone.training.steps, "stages hear as much as their twins"
        assert last.training.warmup_steps < last.training.steps / 3


# One file


@torch.no_grad()
def test_exported_file_is_the_network(tmp_path: Path) -> None:
    config = replace(TINY, hop_length=128, stride=16, dilation_growth=4, router_channels=12)
    model = build(config)
    checkpoint.save(tmp_path / "run", "bloom_net", config, model.state_dict())
    export_folder(tmp_path / "run", tmp_path / "made")
    x = audio(model, 20)
    for level in range(3):  # all at one level is a path of its own
        expected = model(x, level_plan(model.sites, level)).audio[0].numpy()
        assert np.abs(expected).max() > 0.01
        step = Step(open_artefact(tmp_path / "made"), 1)
        made = step(x[0].numpy(), np.full(20, level))[0]
        np.testing.assert_allclose(made, expected, atol=1e-5)
    levels = torch.tensor([2, 2, 0, 1, 0, 0, 0, 2, 1, 1, 2, 0, 2, 2, 2, 1, 0, 1, 2, 2])
    expected = model(x, levels_plan(model.sites, levels.unsqueeze(0))).audio[0].numpy()
    for calls in ([1] * 20, [3, 17]):
        step, parts, at = Step(open_artefact(tmp_path / "made"), 1), [], 0
        for frames in calls:
            samples = x[0, :, at * 128 : (at + frames) * 128].numpy()
            parts.append(step(samples, levels[at : at + frames].numpy())[0].copy())
            at += frames
        np.testing.assert_allclose(np.concatenate(parts, 1), expected, atol=1e-5)
