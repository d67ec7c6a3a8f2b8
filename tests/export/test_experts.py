"""Experts in one file: a gate picks one, one can be asked for, and there is nothing dearer or cheaper."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from sese.cli.main import app
from sese.core.errors import InputError
from sese.evaluation import pareto, scoring, suite
from sese.evaluation.pairs import find_pairs
from sese.export.folder import export_folder
from sese.nn import checkpoint
from sese.nn.backbones.local_experts import LocalExpertsConfig
from sese.nn.cost import macs_per_frame, parameters
from sese.nn.enhancer import Enhancer as Network
from sese.nn.policies.fixed import level_plan
from sese.runtime.artefact import open_artefact
from sese.runtime.enhancer import Enhancer

# So short a mean that the gate changes its mind within a second.
CONFIG = LocalExpertsConfig(
    n_fft=128, hop_length=64, hidden=8, experts=3, gate_hidden=6, gate_bands=16, gate_seconds=0.02
)
RATE = CONFIG.sample_rate


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(2)
    made = CONFIG.build().eval()
    with torch.no_grad():
        made.policy.logits.weight.mul_(20)
        for expert in made.backbone.experts:
            expert.mask.weight.mul_(5)
        audio = torch.from_numpy(noisy())[None, None]
        made.policy.logits.bias.sub_(made.score(audio).mean((0, 1)))  # so that each is picked
        chosen = made.run_clip(audio).plan["expert"].argmax(-1)
    assert len(chosen.unique()) == 3
    return made


@pytest.fixture(scope="module")
def model(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experts")
    checkpoint.save(folder / "run", "local_experts", CONFIG, network.state_dict())
    export_folder(folder / "run", folder / "model")  # which compares it with the network
    return folder / "model"


def noisy(seconds: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(3)
    time = round(seconds * RATE)
    envelope = 0.02 + 0.2 * np.repeat(generator.random(time // 800 + 1), 800)[:time]
    tilted = np.convolve(generator.standard_normal(time), [0.5, 0.5, 0.3], "same")
    return (
        envelope * np.where(np.arange(time) % 8000 < 4000, tilted, generator.standard_normal(time))
    ).astype(np.float32)


def test_the_file_has_each_weight_once_and_tells_what_its_levels_are(model: Path, network: Network):
    card = open_artefact(model).card
    assert card.alternatives
    assert card.router
    assert [level.utilization for level in card.levels] == [pytest.approx(1 / 3, abs=1e-6)] * 3
    per_frame = float(macs_per_frame(network, level_plan(network.sites, 0)))
    assert {level.macs_per_second for level in card.levels} == {per_frame * RATE / CONFIG.hop_length}
    others = parameters(network.backbone) * 2 // 3
    assert {level.parameters for level in card.levels} == {parameters(network) - others}
    tensors = onnx.load(model / "model.onnx").graph.initializer
    stored = sum(int(np.prod(tensor.dims)) for tensor in tensors)
    constants = 5 * CONFIG.n_fft**2  # Fourier transforms and windows
    assert stored <= parameters(network) + constants


@pytest.mark.parametrize("budget", ["auto", 1.0, "fixed:2"])
def test_streams_equal_the_network_however_they_are_cut(model: Path, network: Network, budget: float | str):
    audio = noisy()
    plan = level_plan(network.sites, 1) if budget == "fixed:2" else None
    with torch.no_grad():
        expected = network.run_clip(torch.from_numpy(audio)[None, None], plan).audio[0, 0].numpy()
    enhancer = Enhancer(model, budget)
    np.testing.assert_allclose(enhancer.enhance(audio, RATE), expected, atol=2e-5)
    for size in (1, 63, 64, 1000):
        stream = enhancer.stream(RATE)
        pieces = [audio[at : at + size] for at in range(0, len(audio) if size > 1 else 900, size)]
        got = np.concatenate([stream.feed(piece) for piece in pieces])
        np.testing.assert_allclose(got, expected[: len(got)], atol=2e-5)
        assert len(got) > 300
        assert stream.utilization == pytest.approx(1 / 3, abs=1e-6)


def test_channels_share_one_choice_and_unlinked_ones_do_not(model: Path):
    stereo = np.stack([noisy(), 0.3 * noisy()[::-1]])
    alone = Enhancer(model, "auto").enhance(stereo[:1], RATE)
    unlinked = Enhancer(model, "auto").stream(RATE, 2, linked=False).feed(stereo)
    np.testing.assert_allclose(unlinked[0], alone[0, : unlinked.shape[1]], atol=2e-5)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (0.5, "budget is 0.5 and the levels of model are experts that cost the same"),
        (
            "threshold",
            "give 1 or 'auto', where its gate picks one, or one of them: fixed:1, fixed:2, fixed:3",
        ),
        ("fixed:4", "model has the levels fixed:1, fixed:2, fixed:3"),
        ("fixed:0.333333", "model has the levels fixed:1"),
        ("slowest", "'slowest' and the levels of model are experts"),
    ],
)
def test_budgets_that_mean_nothing_are_refused_in_a_line(model: Path, budget: float | str, message: str):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        Enhancer(model, budget)
    assert "\n" not in str(refused.value)


def test_late_frames_leave_the_gates_choice_alone(model: Path):
    audio = noisy()
    free = Enhancer(model, "auto").enhance(audio, RATE)
    stream = Enhancer(model, "auto", max_rtf=1e-9).stream(RATE)
    late = np.concatenate([stream.feed(audio), stream.flush()])
    np.testing.assert_allclose(late, free, atol=2e-5)
    assert stream.deadline is not None
    assert stream.deadline.missed
    assert stream.deadline.lowered == 0
    assert stream.highest_level == 2


def test_a_cost_limit_takes_all_experts_or_none(model: Path):
    cost = open_artefact(model).card.levels[0].macs_per_second / 1e6
    assert Enhancer(model, "fixed:3", max_mmacs=1.01 * cost).enhance(noisy(0.1), RATE).any()
    with pytest.raises(InputError, match="the lowest level"):
        Enhancer(model, max_mmacs=0.9 * cost)


def test_without_a_gate_the_last_expert_runs_and_auto_is_refused(network: Network, tmp_path: Path):
    config = LocalExpertsConfig(n_fft=128, hop_length=64, hidden=8, experts=2)
    checkpoint.save(tmp_path / "run", "local_experts", config, config.build().state_dict())
    export_folder(tmp_path / "run", tmp_path / "bare")
    audio = noisy(0.2)
    last = Enhancer(tmp_path / "bare", "fixed:2").enhance(audio, RATE)
    np.testing.assert_array_equal(Enhancer(tmp_path / "bare").enhance(audio, RATE), last)
    assert not np.allclose(Enhancer(tmp_path / "bare", "fixed:1").enhance(audio, RATE), last, atol=1e-4)
    with pytest.raises(InputError, match=re.escape("'auto' needs a router and bare has none; give one")):
        Enhancer(tmp_path / "bare", "auto")
    shown = CliRunner().invoke(app, ["models", "show", str(tmp_path / "bare")])
    assert "no gate; --budget fixed:1 to fixed:2 for one of the experts" in shown.output


def test_show_and_the_card_name_experts_by_number(model: Path):
    shown = CliRunner().invoke(app, ["models", "show", str(model)])
    assert "a gate that chooses one of the experts; --budget fixed:1 to fixed:3 for one of" in shown.output
    budgets = [words[0] for line in shown.output.splitlines() if (words := line.split())]
    assert [word for word in budgets if word.startswith("fixed:")] == ["fixed:1", "fixed:2", "fixed:3"]
    card = (model / "README.md").read_text()
    assert "the levels are experts of equal cost" in card
    assert "a gate picks one" in card
    assert "\n| 3 |" in card


def test_a_trace_leaves_the_level_empty(model: Path, tmp_path: Path):
    soundfile.write(tmp_path / "in.wav", noisy(0.3), RATE)
    arguments = ["enhance", "in.wav", "-o", "out.wav", "--model", str(model), "--trace", "trace.csv"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    with (tmp_path / "trace.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["level"] for row in rows} == {""}
    assert {round(float(row["utilization"]), 3) for row in rows} == {0.333}


def test_evaluation_has_a_row_for_each_expert_and_the_gate(model: Path, tmp_path: Path):
    for name in ("a", "b"):
        for side, scale in (("clean", 0.1), ("noisy", 0.3)):
            (tmp_path / side).mkdir(exist_ok=True)
            soundfile.write(tmp_path / side / f"{name}.wav", scale * noisy(0.5), RATE)
    card = open_artefact(model).card
    budgets = pareto.pareto_budgets(card)
    assert budgets == ["fixed:1", "fixed:2", "fixed:3", "auto"]
    result = suite.evaluate(str(model), find_pairs(tmp_path), budgets, metrics=["si_sdr"], jobs=1)
    costs = [level["macs_per_second"] for level in result["levels"][1:]]
    expert = card.levels[0].macs_per_second
    assert costs == [expert] * 3 + [pytest.approx(expert + card.router_macs_per_second)]
    assert scoring.macs_of(card, np.array([1 / 3]), routed=False) == expert
    compared = pareto.compare([json.loads(json.dumps(result))])
    assert [point["kind"] for point in compared["points"]] == ["static"] * 3 + ["dynamic"]
    best = max(point["mean"]["si_sdr"]["mean"] for point in compared["points"][:3])
    oracle = [each for each in compared["oracle"] if each["over"] == "macs"]
    assert len(oracle) == 1, "experts cost the same, so there is no price to ask for"
    assert oracle[0]["score"] >= best


def test_files_whose_alternatives_differ_are_refused(model: Path, tmp_path: Path):
    proto = onnx.load(model / "model.onnx")
    facts = json.loads(proto.metadata_props[0].value)
    facts["levels"][0]["macs_per_second"] *= 2
    proto.metadata_props[0].value = json.dumps(facts)
    onnx.save(proto, tmp_path / "odd.onnx")
    with pytest.raises(InputError, match="its levels are alternatives, and their utilizations"):
        open_artefact(tmp_path / "odd.onnx")
