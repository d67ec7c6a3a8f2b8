"""The exported file is the network: same numbers at every level, each weight once, all or nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from sese.core.errors import InputError
from sese.export import check, folder
from sese.export.folder import export_folder
from sese.export.graph import SMALL
from sese.nn import checkpoint
from sese.nn.backbones.demucs import DemucsConfig
from sese.nn.cost import macs_per_frame
from sese.nn.policies.budget import MEMORY, budget
from sese.nn.policies.fixed import level_plan
from sese.nn.state import fresh
from sese.runtime.artefact import PRETRAINED, Artefact, open_artefact
from sese.runtime.enhancer import Enhancer
from sese.runtime.step import Step

CONFIG = DemucsConfig(
    channels=16, depth=2, oversampling=1, factors=(0.25, 1.0), groups=2, layers=1, router_channels=8
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network with lively weights: a fresh one is so quiet that any error would hide below 1e-4."""
    torch.manual_seed(3)
    model = CONFIG.build().eval()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter *= 2.5
        noise = torch.randn(1, 100 * model.hop_length)
        scores, _ = model.policy(noise, fresh(model.policy.state_shapes(), 1, noise))
        model.policy.pointwise.bias -= scores.mean((0, 1))  # so that each level is the best in some frames
    path = tmp_path_factory.mktemp("run")
    checkpoint.save(path, "demucs", CONFIG, model.state_dict())
    return path, model


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    export_folder(trained[0], path)
    return path


def test_streams_what_the_network_computes(exported, trained):
    model = trained[1]
    audio = 0.1 * torch.randn(1, 1, 5000, generator=torch.Generator().manual_seed(1))
    for level, share in enumerate((0.25, 1.0)):
        with torch.no_grad():
            expected = model.enhance_clip(audio, level_plan(model.sites, level))[0, 0].numpy()
        assert np.abs(expected).max() > 0.01
        enhanced = Enhancer(exported, budget=share).enhance(audio[0, 0].numpy(), 16000)
        np.testing.assert_allclose(enhanced, expected, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 3])
def test_batches_run_as_single_streams(exported, frames):
    artefact = open_artefact(exported)
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((3, frames * artefact.card.hop_length)).astype(np.float32)
    together, _ = Step(artefact, 3)(audio, 1)
    for row in range(3):
        alone, used = Step(artefact, 1)(audio[row : row + 1], 1)
        assert used.tolist() == [1.0] * frames
        np.testing.assert_allclose(together[row : row + 1], alone, atol=1e-6)


@pytest.mark.parametrize("held", [0.0, 0.6])
@pytest.mark.parametrize("calls", [[1], [60], [4, 1, 7]], ids=str)
def test_one_decision_a_frame_where_it_is_asked_for(exported, trained, held, calls):
    """The router hears the frames that have no level, one after the other, and averages the channels."""
    model, hop = trained[1], 16
    generator = torch.Generator().manual_seed(4)
    audio = 0.1 * torch.randn(2, 60 * hop, generator=generator)
    levels = torch.randint(-1, 2, (60,), generator=generator)
    asked = levels < 0
    with torch.no_grad():
        _, loudness, _ = model.features(audio, fresh(model.features.state_shapes(), 2, audio))
        heard = (audio / loudness).unflatten(1, (60, hop))[:, asked].flatten(1)
        scores, _ = model.policy(heard, fresh(model.policy.state_shapes(), 2, audio))
        used = torch.tensor([0.25, 1.0])
        choice, _ = budget(held, used, 30000)(scores.mean(0, keepdim=True), torch.zeros(1, MEMORY))
    expected = used[levels]
    expected[asked] = choice[0] @ used
    assert set(expected[asked].tolist()) == {0.25, 1.0}
    step, made, at = Step(open_artefact(exported), 2), [], 0
    for frames in calls * 60:
        if at < 60:
            span = slice(at * hop, (at + frames) * hop)
            made.append(step(audio[:, span].numpy(), levels[at : at + frames].numpy(), held)[1].copy())
            at += frames
    np.testing.assert_array_equal(np.concatenate(made), expected.numpy())


def test_holds_each_weight_once(exported):
    graph = onnx.load(exported / "model.onnx").graph
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    weights = sum(p.numel() for p in checkpoint.load(exported).parameters())
    # A few biases are small enough to lie in the branches; level 0's slices alone would be another 18%.
    assert 0.99 * weights <= stored <= 1.02 * weights
    assert all(np.prod(tensor.dims) <= SMALL for tensor in nested(graph))


def nested(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Initializers of the graphs inside a graph."""
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [tensor for body in inner for tensor in [*body.initializer, *nested(body)]]


def test_states_the_facts(exported, trained):
    model, card = trained[1], open_artefact(exported).card
    assert (card.sample_rate, card.hop_length) == (16000, 16)
    assert card.lookahead_samples == model.lookahead_samples
    for level, facts in enumerate(card.levels):
        macs = float(macs_per_frame(model, level_plan(model.sites, level)))
        assert facts.macs_per_second == pytest.approx(macs * 16000 / 16)
    assert [level.utilization for level in card.levels] == [0.25, 1.0]
    assert card.levels[1].parameters == card.parameters == sum(p.numel() for p in model.parameters())
    # The narrow level: a network of a quarter of the hidden width, at full width between the blocks.
    cut = sum(
        (block.widths[1] - block.widths[0]) * per_unit
        for block, per_unit in [
            *((b, b.conv_weight.shape[1] + 1 + b.pointwise_weight.shape[1]) for b in model.backbone.encoder),
            *((b, 2 * b.value_weight.shape[1] + 2 + b.conv_weight.shape[1]) for b in model.backbone.decoder),
        ]
    )
    assert card.levels[0].parameters == card.parameters - cut
    assert "# tiny" in (exported / "README.md").read_text()


def test_a_difference_from_pytorch_stops_the_export(trained, exported, tmp_path, monkeypatch):
    def wrong(artefact: Artefact, audio: np.ndarray, levels: np.ndarray, *others: object) -> np.ndarray:
        return right(artefact, audio, levels, *others) + (2e-4 if set(levels) == {1} else 0)

    right = check._run
    monkeypatch.setattr(check, "_run", wrong)
    monkeypatch.setattr(folder, "to_onnx", lambda *_: onnx.load(exported / "model.onnx"))  # traced once
    with pytest.raises(InputError, match=r"at level 1, 1 frames a call, the .* from PyTorch by 2\.\d+e-04"):
        export_folder(trained[0], tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept(trained, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="exists already"):
        export_folder(trained[0], tmp_path / "model")


def test_force_replaces_a_model_folder_and_nothing_else(trained, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "to_onnx", lambda *_: onnx.load(exported / "model.onnx"))  # traced once
    run, model, file = tmp_path / "run", tmp_path / "model", tmp_path / "file"
    shutil.copytree(trained[0], run / "best")
    (run / "checkpoints").mkdir()
    export_folder(run, model)
    export_folder(run, model, force=True)
    shutil.copytree(run, tmp_path / "other")
    file.touch()
    for output, message in (
        (run, "holds .*best, which is read"),
        (run / "best", "is read and cannot be the output"),
        (tmp_path / "other", "since it holds 'best'"),
        (tmp_path / "other" / "best", r"since it has no model\.onnx"),
        (file, "is a file"),
    ):
        with pytest.raises(InputError, match=message):
            export_folder(run / "best", output, force=True)
    assert sorted(path.name for path in run.rglob("*.safetensors")) == ["model.safetensors"]


def test_quality_comes_from_the_evaluation(tmp_path):
    score = {"mean": 2.5, "low": 2.4, "high": 2.6}
    levels = [
        {"level": "noisy", "mean": {"pesq_wb": {**score, "mean": 1.5}}},
        {"level": "budget 0.25", "mean": {"pesq_wb": score, "stoi": {"mean": None}}},
    ]
    (tmp_path / "evaluation.json").write_text(json.dumps({"levels": levels}))
    assert folder.read_quality(tmp_path) == {"noisy": {"pesq_wb": 1.5}, "0.25": {"pesq_wb": 2.5}}
    with pytest.raises(InputError, match="no report of"):
        folder.read_quality(tmp_path / "missing")


def test_a_new_export_of_a_model_folder_keeps_its_card(trained, exported, tmp_path, monkeypatch):
    def traced_once(model, card, used):
        proto = onnx.load(exported / "model.onnx")
        helper.set_model_props(proto, {"sese": card.to_json()})
        return proto

    monkeypatch.setattr(folder, "to_onnx", traced_once)
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    levels = [{"level": "budget fixed:1", "mean": {"pesq_wb": {"mean": 2.5}}}]
    report, notes = tmp_path / "evaluation.json", tmp_path / "notes.md"
    report.write_text(json.dumps({"levels": levels}))
    notes.write_text("By the sea.\n\n## Data\n\nWaves.")
    export_folder(trained[0], first, evaluation=report, notes=notes, description="Calm.")
    with (first / "README.md").open("a") as card:
        card.write("\n## Weights in int8\n\n0.1 MB\n")
    export_folder(first, second, name="first")
    text = (first / "README.md").read_text()
    assert (second / "README.md").read_text() == text[: text.index("\n## Weights in int8")]
    assert open_artefact(second).card == open_artefact(first).card
    assert open_artefact(second).card.quality == {"fixed:1": {"pesq_wb": 2.5}}
    (second / "model.onnx").write_bytes(b"no ONNX")
    export_folder(second, third, description="Wind.")
    assert "By the sea." in (third / "README.md").read_text()
    assert open_artefact(third).card.description == "Wind."
    assert open_artefact(third).card.quality == {}


def kept_by_export(model, folder, *, proto=None, readme=None, **given):
    """Export a copy of a model folder with another file or README anew, with its own network."""
    run, output = folder / "run", folder / "output"
    shutil.copytree(model, run)
    if proto is not None:
        onnx.save(proto, run / "model.onnx")
    if readme is not None:
        (run / "README.md").write_bytes(readme)
    export_folder(run, output, **given)
    return open_artefact(output).card, (output / "README.md").read_text()


@pytest.fixture
def told(trained, exported, tmp_path, monkeypatch):
    """A model folder with scores and a description, whose exports are made without tracing."""
    proto = onnx.load(exported / "model.onnx")

    def traced_once(model, card, used):
        helper.set_model_props(proto, {"sese": card.to_json()})
        return proto

    monkeypatch.setattr(folder, "to_onnx", traced_once)
    report, notes = tmp_path / "evaluation.json", tmp_path / "told.md"
    report.write_text(json.dumps({"levels": [{"level": "fixed:1", "mean": {"pesq_wb": {"mean": 2.5}}}]}))
    notes.write_text("By the sea.")
    export_folder(trained[0], tmp_path / "told", evaluation=report, notes=notes, description="Calm.")
    return tmp_path / "told"


def test_a_new_export_keeps_what_a_file_of_an_older_format_says(told, tmp_path):
    proto = onnx.load(told / "model.onnx")
    facts = json.loads(proto.metadata_props[0].value)
    helper.set_model_props(proto, {"sese": json.dumps(facts | {"format": facts["format"] - 1})})
    card, text = kept_by_export(told, tmp_path, proto=proto)
    assert (card.description, card.quality) == ("Calm.", {"fixed:1": {"pesq_wb": 2.5}})
    assert "By the sea." in text


def test_a_new_export_of_a_folder_without_a_readme_keeps_the_scores(told, tmp_path):
    (told / "README.md").unlink()
    card, _ = kept_by_export(told, tmp_path)
    assert (card.description, card.quality) == ("Calm.", {"fixed:1": {"pesq_wb": 2.5}})


def test_a_new_export_says_when_it_leaves_out_a_readme(told, tmp_path, capsys):
    _, text = kept_by_export(told, tmp_path, readme=b"# Mine\n\nBy the lake.\n")
    assert "By the lake." not in text
    assert "has no table under '## Levels', so its text is left out" in capsys.readouterr().err


def test_new_notes_take_the_place_of_a_readme_without_a_word(told, tmp_path, capsys):
    notes = tmp_path / "new.md"
    notes.write_text("By the lake.")
    _, text = kept_by_export(told, tmp_path, readme=b"# Mine\n\nBy the sea.\n", notes=notes)
    assert text.endswith("\n\nBy the lake.\n")
    assert capsys.readouterr().err == ""


def test_a_bundled_model_is_exported_by_its_name(tmp_path, monkeypatch):
    bundled = PRETRAINED / "ftf-net-dsn"
    proto = onnx.load(bundled / "model.onnx")
    monkeypatch.setattr(folder, "to_onnx", lambda model, card, used: proto)
    monkeypatch.setattr(folder, "check_export", lambda path, model, used: 0.0)
    export_folder(Path("ftf-net-dsn"), tmp_path / "copy")
    cards = [(model / "README.md").read_text() for model in (bundled, tmp_path / "copy")]
    said = [card[card.index("| noisy |") :] for card in cards]
    assert said[0] == said[1]


def test_a_readme_that_is_no_text_is_named(told, tmp_path):
    with pytest.raises(InputError, match=r"README\.md cannot be read .* save it in UTF-8, or remove it"):
        kept_by_export(told, tmp_path, readme="Übung".encode("latin-1"))


def test_new_notes_leave_the_training_of_a_model_folder(told, tmp_path):
    text = (told / "README.md").read_text() + "\n### Training\n\nDives.\n\n## Training\n\nFour hours.\n"
    notes = tmp_path / "new.md"
    notes.write_text("By the lake.")
    _, made = kept_by_export(told, tmp_path, readme=text.encode(), notes=notes)
    assert "By the sea." not in made
    assert "Dives." not in made
    assert made.endswith("By the lake.\n\n## Training\n\nFour hours.\n")


def test_notes_that_are_no_text_are_named_before_the_export(trained, tmp_path):
    (tmp_path / "notes.md").write_bytes("Übung".encode("latin-1"))
    with pytest.raises(InputError, match=r"notes\.md cannot be read .* give Markdown in UTF-8"):
        export_folder(trained[0], tmp_path / "model", notes=tmp_path / "notes.md")
    assert not (tmp_path / "model").exists()


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        export_folder(tmp_path / "nothing", tmp_path / "model")
