"""nsNet2 against its published sizes and PyTorch's layers, and what an exit leaves alone."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import transforms
from contract import audio, build, count_macs, random_plan
from sese.core.errors import InputError
from sese.data.mixing import Mixture
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.nsnet2 import LAYERS, NsNet2, NsNet2Config
from sese.nn.cost import macs_per_frame, parameters, parameters_used, prefixes
from sese.nn.features.log_power import LogPowerFeatures
from sese.nn.heads.gain import LOWEST_GAIN, GainHead
from sese.nn.layers.held import HeldGRU
from sese.nn.plan import counts_to_mask
from sese.nn.policies.fixed import level_plan, levels_plan
from sese.nn.state import fresh
from sese.runtime.artefact import open_artefact
from sese.runtime.enhancer import Enhancer
from sese.runtime.step import Step
from sese.training.config import read
from sese.training.methods.levels import over_levels
from sese.training.sweep import plan as sweep_plan
from sese.training.task import EnhancementTask

CONFIGS = Path(__file__).parents[2] / "src" / "sese" / "configs"
SPLITS = ("none", "separate", "joined")
SIZES: dict[str, Any] = {"n_fft": 64, "hop_length": 32, "hidden": 12, "wide": 18}
TINY = {split: NsNet2Config(**SIZES, split=split) for split in SPLITS}  # type: ignore[arg-type]


def costs(config: NsNet2Config) -> list[int]:
    model = config.build()
    return [int(macs_per_frame(model, level_plan(model.sites, level))) for level in range(config.levels)]


# Published sizes


@pytest.mark.parametrize(
    ("n_fft", "weights", "macs"), [(512, 2_783_657, 2_777_000), (320, 2_687_561, 2_681_000)]
)
def test_published_parameters_and_macs(n_fft: int, weights: int, macs: int) -> None:
    config = NsNet2Config(n_fft=n_fft, hop_length=n_fft // 2, exits=("fc3",))
    model = config.build()
    assert parameters(model) == parameters_used(model, 1) == weights
    assert costs(config) == [macs]
    assert count_macs(model, torch.randn(1, 1, 3 * config.hop_length), None) == 3 * macs


def test_published_shapes() -> None:
    backbone = NsNet2Config(exits=("fc3",)).build().backbone
    shapes = {name: tuple(weight.shape) for name, weight in backbone.named_parameters() if weight.ndim > 1}
    gru = {"input_weight": (1, 1, 400, 1200), "hidden_weight": (1, 1, 400, 1200)}
    gru |= {"input_bias": (1, 1, 1, 1200), "hidden_bias": (1, 1, 1, 1200)}
    assert shapes == {
        "layers.fc1.weight": (400, 257),
        **{f"layers.{layer}.{name}": shape for layer in ("gru1", "gru2") for name, shape in gru.items()},
        "layers.fc2.weight": (600, 400),
        "layers.fc3.weight": (600, 600),
        "gains.fc3.weight": (257, 600),
    }
    assert backbone.state_shapes() == {"layers.gru1": (1, 400), "layers.gru2": (1, 400)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [205_600, 1_165_600, 2_125_600, 2_777_000]),
        ({"exits": LAYERS}, [205_600, 1_165_600, 2_125_600, 2_417_000, 2_777_000]),
        # A copy of the whole width in place of the layer costs what the layer costs.
        ({"split": "separate", "copy_share": 1.0}, [205_600, 1_165_600, 2_125_600, 2_777_000]),
        ({"split": "separate"}, [102_800, 514_200, 1_474_200, 2_777_000]),
        ({"split": "joined"}, [308_400, 1_577_000, 2_537_000, 2_777_000]),
    ],
    ids=str,
)
def test_cost_of_each_exit(values: dict[str, Any], expected: list[int]) -> None:
    assert costs(NsNet2Config(**values)) == expected


def test_levels_are_shares_of_the_whole() -> None:
    shares = torch.tensor(NsNet2Config().build().sites[0].shares)
    torch.testing.assert_close(shares.cumsum(0), torch.tensor([0.07, 0.42, 0.77, 1.0]))


# Exits against plain networks


def plain(backbone: NsNet2, exit: str, x: Tensor) -> Tensor:
    """An exit's gains by PyTorch's own layers: x (batch, frame, bin)."""

    def run(layer: Any, name: str, h: Tensor) -> Tensor:
        if not isinstance(layer, HeldGRU):
            return layer(h) if name == "fc1" else F.relu(layer(h))
        gru = nn.GRU(h.shape[2], layer.size, batch_first=True).requires_grad_(False)
        gru.weight_ih_l0.copy_(layer.input_weight[0, 0].t())
        gru.weight_hh_l0.copy_(layer.hidden_weight[0, 0].t())
        gru.bias_ih_l0.copy_(layer.input_bias.flatten())
        gru.bias_hh_l0.copy_(layer.hidden_bias.flatten())
        return gru(h)[0]

    for name in LAYERS[: LAYERS.index(exit)]:
        x = run(backbone.layers[name], name, x)
    seen = [] if exit in backbone.copies and backbone.split == "separate" else [backbone.layers[exit]]
    seen += [backbone.copies[exit]] if exit in backbone.copies else []
    return torch.sigmoid(backbone.gains[exit](torch.cat([run(layer, exit, x) for layer in seen], dim=2)))


@pytest.mark.parametrize("split", SPLITS)
def test_an_exit_equals_a_plain_network_that_ends_there(split: str) -> None:
    backbone = copy.deepcopy(build(TINY[split]).backbone).requires_grad_(False)
    x = torch.randn(2, 9, backbone.bins, generator=torch.Generator().manual_seed(1))
    state = fresh(backbone.state_shapes(), 2, x)
    for level, exit in enumerate(backbone.exits):
        made, _ = backbone(x.flatten(1), {"depth": level + 1}, state)
        expected = plain(backbone, exit, x)
        assert expected.std() > 0.01, "the gains differ"
        torch.testing.assert_close(made.view(x.shape), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("split", SPLITS)
def test_an_exit_touches_exactly_what_it_says(split: str) -> None:
    model = build(TINY[split])
    x = audio(model, 5)
    for level in range(4):
        plan, unused = level_plan(model.sites, level), prefixes(model, level + 1)
        expected = model(x, plan).audio
        for name in model.state_dict():
            other = copy.deepcopy(model)
            nn.init.constant_(other.get_parameter(name), float("nan"))
            assert other(x, plan).audio.isnan().any() == (name not in unused), (level, name)
        used = sum(p.numel() for name, p in model.named_parameters() if name not in unused)
        assert parameters_used(model, level + 1) == used
        assert expected.isfinite().all()


# States of layers that a frame skips


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("split", "level", "moves"),
    [
        ("none", 0, set()),
        ("none", 1, {"layers.gru1"}),
        ("none", 2, {"layers.gru1", "layers.gru2"}),
        ("separate", 0, set()),
        ("separate", 1, {"copies.gru1"}),
        ("separate", 2, {"layers.gru1", "copies.gru2"}),
        ("separate", 3, {"layers.gru1", "layers.gru2"}),
        ("joined", 1, {"layers.gru1", "copies.gru1"}),
        ("joined", 2, {"layers.gru1", "layers.gru2", "copies.gru2"}),
        ("joined", 3, {"layers.gru1", "layers.gru2"}),
    ],
)
def test_states_of_what_a_frame_skips_hold(split: str, level: int, moves: set[str], masked: bool) -> None:
    backbone = build(TINY[split]).backbone
    x = torch.randn(2, 3 * backbone.bins, generator=torch.Generator().manual_seed(3))
    state = {name: 0.5 * torch.randn(2, *shape) for name, shape in backbone.state_shapes().items()}
    keep: int | Tensor = level + 1
    if masked:
        keep = counts_to_mask(torch.full((2, 3), level + 1), 4).requires_grad_()
    _, after = backbone(x, {"depth": keep}, state)
    assert {name for name in state if not torch.equal(after[name], state[name])} == moves


def test_a_held_gru_steps_where_it_is_kept() -> None:
    torch.manual_seed(0)
    layer = HeldGRU(5, 7).requires_grad_(False)
    x, hidden = torch.randn(3, 6, 5), torch.randn(3, 1, 7)
    kept = torch.randint(2, (3, 6, 1)).float()
    assert 0 < kept.mean() < 1
    made, last = layer.masked(x, kept, hidden)
    for row in range(3):
        h = hidden[row : row + 1]
        for frame in range(6):
            new, after = layer(x[row : row + 1, frame : frame + 1], h)
            torch.testing.assert_close(made[row, frame], new[0, 0])
            h = after if kept[row, frame] else h
        torch.testing.assert_close(last[row], h[0])


@pytest.mark.parametrize("split", SPLITS)
def test_gradients_of_slices_equal_those_of_masks(split: str) -> None:
    gradients = []
    for masked in (False, True):
        model = copy.deepcopy(build(TINY[split]))
        keep = random_plan(model, 2, 8)["depth"].requires_grad_(masked)
        model(audio(model, 8, batch=2), {"depth": keep}).audio.square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert set(gradients[0]) == set(gradients[1]) == {name for name, _ in model.named_parameters()}
    for name, gradient in gradients[0].items():
        assert gradient.any(), name
        assert (gradients[1][name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-6, name


# Features and head


def test_features_are_the_published_ones_without_a_level() -> None:
    features = LogPowerFeatures(64, 32, 0)
    x = 0.1 * torch.randn(1, 96, generator=torch.Generator().manual_seed(0))
    x[:, 64:] = 0.0
    x = torch.cat([x, torch.zeros(1, 32)], dim=1)
    signal, spectrum, after = features(x, {"past": torch.zeros(1, 32)})
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64))
    samples = np.concatenate([np.zeros(32), x[0].numpy()])
    expected = np.stack([np.fft.rfft(samples[at : at + 64] * window) for at in range(0, 128, 32)])
    log_power = np.log10(np.maximum(np.abs(expected) ** 2, 1e-12))
    np.testing.assert_allclose(signal.view(4, 33), log_power, atol=1e-3)
    assert (signal.view(4, 33)[3] == -12).all(), "silence is at the floor"
    both = spectrum.view(4, 2, 33)
    np.testing.assert_allclose(both[:, 0], expected.real, atol=1e-5)
    np.testing.assert_allclose(both[:, 1], expected.imag, atol=1e-5)
    assert set(after) == {"past"}


def test_a_gain_of_one_gives_the_input_back() -> None:
    features, head = LogPowerFeatures(64, 32, 10), GainHead(64, 32)
    x = torch.randn(2, 320, generator=torch.Generator().manual_seed(0))
    signal, spectrum, _ = features(x, fresh(features.state_shapes(), 2, x))
    for gain, heard in ((1.0, 1.0), (0.25, 0.25), (0.0, LOWEST_GAIN)):
        made, _ = head(torch.full_like(signal, gain), spectrum, fresh(head.state_shapes(), 2, x))
        torch.testing.assert_close(made[:, 32:], heard * x[:, :-32], atol=1e-5 * heard, rtol=1e-4)


# Training


@pytest.mark.parametrize("split", SPLITS)
def test_joint_training_learns_at_every_exit(split: str) -> None:
    torch.manual_seed(0)
    settings = ["model.n_fft=128", "model.hop_length=64", "model.hidden=24", "model.wide=36"]
    settings += ["training.method=all_levels", "training.learning_rate=0.01", f"model.split={split}"]
    training = EnhancementTask(read(CONFIGS / "nsnet2" / "small.yaml", settings))
    training.log = training.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    t = torch.arange(4096) / 16000
    clean = 0.2 * torch.sin(2 * torch.pi * torch.tensor([[[300.0]], [[450.0]]]) * t)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    mixture = Mixture(noisy, clean, torch.zeros(2))

    def losses() -> Tensor:
        with torch.no_grad():
            return torch.stack(
                [over_levels(training, mixture, [level])["compressed_complex"] for level in range(4)]
            )

    before = losses()
    optimizer = torch.optim.AdamW(training.parameters(), lr=0.01)
    for _ in range(12):
        optimizer.zero_grad()
        training.training_step(mixture, 0).backward()
        optimizer.step()
    assert (losses() < 0.7 * before).all()


def test_layer_wise_stages_train_each_part_once_and_what_their_exit_runs(tmp_path: Path) -> None:
    runs = {r.folder.parent.name: r for r in sweep_plan(CONFIGS / "sweeps" / "comparison.yaml", tmp_path)}
    stages = [runs.pop(f"nsnet2-layer-{number}").resolve() for number in range(1, 5)]
    model = stages[0].model.build()
    names = {name for name, _ in model.named_parameters()}
    trained: set[str] = set()
    for level, stage in enumerate(stages):
        assert stage.model == stages[0].model
        new = {n for n in names if n.startswith(tuple(f"{part}." for part in stage.training.train_only))}
        unused = prefixes(model, level + 1)
        assert not new & trained
        assert not new & set(unused), "the stage's exit runs all that it trains"
        trained |= new
        gains = {n for n in names if ".gains." in n}
        assert names - set(unused) - gains <= trained, "and nothing that no stage has trained"
        chosen = {"random_level": stage.training.random_level.shares, "full": (0, 0, 0, 1)}[
            stage.training.method
        ]
        assert tuple(chosen) == tuple(float(number == level) for number in range(4))
    assert trained == names
    settings = {name: run.resolve() for name, run in runs.items() if name.startswith("nsnet2")}
    joint = settings["nsnet2"]
    assert sum(stage.training.steps for stage in stages) == joint.training.steps == 900
    for width, cost in zip(("-55", "-104", "-138", ""), costs(joint.model), strict=True):
        static = settings[f"nsnet2-dense{width}"]
        assert (static.training.method, static.training.steps) == ("full", 900)
        assert costs(static.model) == [pytest.approx(cost, rel=0.01)]
    splits = [joint, *(settings[f"nsnet2-{split}"] for split in SPLITS[1:])]
    assert [each.model.split for each in splits] == list(SPLITS)
    for each in (*splits, settings["nsnet2-layers-tuned"]):
        assert each.training.method == "all_levels"
        assert each.training.train_only == ("all",)
    assert settings["nsnet2-router"].training.train_only == ("policy",)


@pytest.mark.parametrize("split", SPLITS)
def test_a_stage_leaves_the_exits_before_as_they_were(split: str) -> None:
    torch.manual_seed(0)
    settings = ["model.n_fft=128", "model.hop_length=64", "model.hidden=24", "model.wide=36"]
    settings += [
        f"model.split={split}",
        "training.method=random_level",
        "training.random_level.shares=[0, 1, 0, 0]",
    ]
    parts = {"none": "", "separate": "backbone.layers.fc1, ", "joined": ""}[split]
    copies = "backbone.copies.gru1, " if split != "none" else ""
    own = "" if split == "separate" else "backbone.layers.gru1, "
    settings += [f"training.train_only=[{parts}{copies}{own}backbone.gains.gru1]"]
    settings += ["training.learning_rate=0.01", "training.warmup_steps=1"]
    training = EnhancementTask(read(CONFIGS / "nsnet2" / "small.yaml", settings))
    training.log = training.log_dict = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    before = copy.deepcopy(training.model)
    clean = 0.2 * torch.sin(2 * torch.pi * 300 * torch.arange(4096) / 16000).view(1, 1, -1)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    optimizer = training.configure_optimizers()["optimizer"]
    for _ in range(3):
        optimizer.zero_grad()
        training.training_step(Mixture(noisy, clean, torch.zeros(1)), 0).backward()
        optimizer.step()
    outputs = [model.enhance_levels(noisy, range(4)) for model in (before, training.model)]
    assert torch.equal(outputs[0][0], outputs[1][0]), "the exit before"
    assert not torch.equal(outputs[0][1], outputs[1][1]), "the exit that is trained"


# Configurations


def test_configurations_hold_the_sizes_that_they_say() -> None:
    found = {path.stem: read(path) for path in (CONFIGS / "nsnet2").glob("*.yaml")}
    for split in ("separate", "joined"):
        found[f"small, {split}"] = read(CONFIGS / "nsnet2" / "small.yaml", [f"model.split={split}"])
    assert found["base"].model == NsNet2Config(exits=("fc3",), level_seconds=0.0)
    assert found["dynamic"].model == NsNet2Config(level_seconds=0.0)
    assert found["dynamic"].training.method == "all_levels"
    weights = {name: parameters(config.model.build()) for name, config in found.items()}
    assert weights == {
        "base": 2_783_657,
        "dynamic": 3_092_828,
        "small": 632_948,
        "small_router": 634_408,
        "small, separate": 708_068,
        "small, joined": 831_428,
    }
    small = {name: config.model for name, config in found.items() if "small" in name}
    assert {config.split for config in small.values()} == set(SPLITS)
    for config in small.values():
        assert costs(config)[-1] == 506_000
    assert found["small"].training.method == "all_levels"
    assert small["small_router"].build().policy is not None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"exits": ()}, "model.exits is []"),
        ({"exits": ("fc1", "gru1")}, "model.exits is ['fc1', 'gru1']"),
        ({"exits": ("gru1", "fc1", "fc3")}, "model.exits is ['gru1', 'fc1', 'fc3']"),
        ({"exits": ("fc1", "fc1", "fc3")}, "model.exits is ['fc1', 'fc1', 'fc3']"),
        ({"exits": ("fc4",)}, "model.exits is ['fc4']"),
        ({"split": "both"}, "model.split is 'both'"),
        ({"copy_share": 0.0}, "model.copy_share is 0.0"),
        ({"copy_share": 1.5}, "model.copy_share is 1.5"),
        ({"split": "joined", "copy_share": 1.0}, "exit 'gru2' with its copy costs no less than the next"),
        ({"n_fft": 500, "hop_length": 250}, "model.n_fft is 500"),
        ({"n_fft": 512, "hop_length": 128}, "model.n_fft is 512"),
        ({"hidden": 0}, "model.hidden is 0"),
        ({"wide": -1}, "model.wide is -1"),
        ({"sample_rate": 0}, "model.sample_rate is 0"),
        ({"router_channels": -1}, "model.router_channels is -1"),
        ({"level_seconds": -1.0}, "model.level_seconds is -1.0"),
    ],
    ids=str,
)
def test_refused_configurations(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        NsNet2Config(**values)


# One file


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A network whose router picks each exit in some frames, and its file."""
    config = NsNet2Config(
        n_fft=128,
        hop_length=64,
        hidden=24,
        wide=36,
        exits=("fc1", "gru1", "fc3"),
        split="joined",
        router_channels=6,
    )
    model, folder = copy.deepcopy(build(config)).requires_grad_(False), tmp_path_factory.mktemp("nsnet2")
    model.policy.pointwise.weight *= 5
    scores = model.score(audio(model, 200))
    model.policy.pointwise.bias -= scores.mean((0, 1))
    checkpoint.save(folder / "run", "nsnet2", config, model.state_dict())
    export_folder(folder / "run", folder / "made")
    return folder / "made", model


def test_exported_file_is_the_network(exported: tuple[Path, Any]) -> None:
    path, model = exported
    stored = [tensor for tensor in onnx.load(path / "model.onnx").graph.initializer]
    whole = 1.02 * parameters(model) + transforms.constants(n_fft=128)
    assert sum(int(np.prod(tensor.dims)) for tensor in stored) <= whole, "each weight once"
    x = audio(model, 20)
    levels = torch.tensor([1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1])
    expected = model(x, levels_plan(model.sites, levels.unsqueeze(0))).audio[0].numpy()
    assert np.abs(expected).max() > 0.01
    for calls in ([1] * 20, [3, 17]):
        step, parts, at = Step(open_artefact(path), 1), [], 0
        for frames in calls:
            samples = x[0, :, at * 64 : (at + frames) * 64].numpy()
            parts.append(step(samples, levels[at : at + frames].numpy())[0].copy())
            at += frames
        np.testing.assert_allclose(np.concatenate(parts, 1), expected, atol=1e-5)


@pytest.mark.parametrize("budget", [1.0, "fixed:0.67", "auto", 0.8, "held:0.8", "threshold"])
def test_streamed_equals_whole_under_every_policy(exported: tuple[Path, Any], budget: Any) -> None:
    """States of layers that frames skip are held alike, a frame a call or many."""
    enhancer = Enhancer(exported[0], budget=budget)
    generator = np.random.default_rng(0)
    loudness = np.repeat(generator.choice([0.002, 0.02, 0.2], 40), 400)
    x = (loudness * generator.standard_normal(16000)).astype(np.float32)
    whole, stream = enhancer.enhance(x, 16000), enhancer.stream(16000)
    made = [stream.feed(chunk) for chunk in np.split(x, [1, 65, 500, 700, 3001, 9000])]
    np.testing.assert_allclose(np.concatenate([*made, stream.flush()]), whole, atol=1e-5)
    assert whole.shape == x.shape
    assert np.abs(whole).max() > 0.01
    assert (len(set(stream.trace.tolist())) > 1) == (budget in ("auto", "held:0.8", "threshold"))
