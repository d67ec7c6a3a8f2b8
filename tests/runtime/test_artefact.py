"""Opening models, and saying in one line why one cannot be opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from runtime.tiny_model import HOP, LOOKAHEAD, UTILIZATIONS, metadata, write_model
from sese.core.errors import InputError
from sese.runtime import artefact
from sese.runtime.artefact import bundled_models, describe, find_model, open_artefact
from sese.runtime.card import Card
from sese.runtime.step import Step


def refusal(model: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        open_artefact(model)
    message = str(caught.value)
    assert str(model) in message
    assert "\n" not in message
    assert ";" in message, "a remedy follows the problem"
    return message


def test_folder_and_file(tiny: Path) -> None:
    for model in (tiny, str(tiny), tiny / "model.onnx"):
        opened = open_artefact(model)
        assert opened.path == tiny / "model.onnx"
        assert opened.card.name == "tiny"
        assert [level.utilization for level in opened.card.levels] == list(UTILIZATIONS)
        assert opened.card.latency_ms == 1000 * (HOP + LOOKAHEAD) / 16000
        assert opened.state["delay"].zeros(3).shape == (3, 1, LOOKAHEAD)
        assert opened.state["power"].zeros(3).shape == (3, 1)


@pytest.mark.parametrize("name", bundled_models())
def test_a_card_is_read_as_it_was_written(name: str) -> None:
    card = open_artefact(name).card
    assert Card.of(json.loads(card.to_json())) == card


def test_describe_is_json(tiny: Path) -> None:
    facts = json.loads(json.dumps(describe(open_artefact(tiny))))
    assert facts["levels"][0] == {"utilization": 0.125, "macs_per_second": 125000.0, "parameters": 125}
    assert facts["licence"]["weights"] == "CC0-1.0"
    assert facts["quality"]["noisy"]["pesq"] == 2.0


def test_nothing_is_printed(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_artefact(tiny)
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x09" * 1000)
    refusal(tmp_path / "bad.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", bundled_models())
def test_memory_is_planned_for_one_signal(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The check of a file must not leave plans that a stream cannot use; ONNX Runtime logs that."""
    options, misfit = artefact.session_options, "block in memory pattern size is"

    def verbose() -> onnxruntime.SessionOptions:
        chosen = options()
        chosen.log_severity_level = 0
        return chosen

    monkeypatch.setattr(artefact, "session_options", verbose)
    opened = open_artefact(name)
    logged = []
    for signals in (1, 3):
        step, silence = Step(opened, signals), np.zeros((signals, opened.card.hop_length), np.float32)
        capfd.readouterr()
        for level in range(len(opened.card.levels)):
            step(silence, level)
        logged.append(capfd.readouterr().err)
    assert misfit not in logged[0]
    assert misfit in logged[1], "the log no longer says it in these words, or no plan is shared any more"


def test_names(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefact, "PRETRAINED", tiny.parent)
    assert bundled_models() == ["tiny"]
    assert find_model() == find_model("tiny") == tiny / "model.onnx"


def test_the_default_is_preferred(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", artefact.DEFAULT_MODEL, "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").symlink_to(tiny / "model.onnx")
    monkeypatch.setattr(artefact, "PRETRAINED", tmp_path)
    assert find_model().parent.name == artefact.DEFAULT_MODEL


def test_no_bundled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefact, "PRETRAINED", tmp_path)
    with pytest.raises(InputError, match="--model"):
        open_artefact()


def test_unknown_model() -> None:
    assert "unknown model 'no-such-model'" in refusal("no-such-model")
    assert refusal("sese-1") == "sese-1 is no longer bundled; use sese-2, which takes its place"


def test_folder_without_model(tmp_path: Path) -> None:
    assert "holds no model.onnx" in refusal(tmp_path)


def test_corrupt(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    data = (tiny / "model.onnx").read_bytes()
    for content in (data[: len(data) // 2], b"", b"hello", data[:100] + bytes(100) + data[200:]):
        path.write_bytes(content)
        refusal(path)


def test_foreign(tmp_path: Path) -> None:
    assert "`sese` metadata" in refusal(write_model(tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    "key", ["format", "name", "sample_rate", "levels", "router", "licence", "parameters"]
)
def test_fact_missing(tmp_path: Path, key: str) -> None:
    facts = {name: value for name, value in metadata().items() if name != key}
    assert f"lacks '{key}'" in refusal(write_model(tmp_path / "model.onnx", facts=facts))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 99}, "update sese"),
        ({"format": 1}, "export its run again"),
        ({"hop_length": HOP + 1}, "cannot run a step"),
        ({"hop_length": "long"}, "damaged"),
        ({"sample_rate": None}, "damaged"),
        ({"sample_rate": 0}, "out of range"),
        ({"levels": []}, "levels"),
        (
            {"levels": [{"utilization": u, "macs_per_second": 1.0, "parameters": 1} for u in (1.0, 0.5)]},
            "rise",
        ),
        ({"levels": [{"utilization": 2.0, "macs_per_second": 1.0, "parameters": 1}]}, "within (0, 1]"),
        ({"levels": [{"utilization": 1.0}]}, "lacks 'macs_per_second'"),
    ],
)
def test_fact_wrong(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(write_model(tmp_path / "model.onnx", facts=metadata(**changes)))


@pytest.mark.parametrize("output", ["enhanced", "utilization", "next_state.power"])
def test_output_missing(tmp_path: Path, output: str) -> None:
    assert f"lacks the output '{output}'" in refusal(
        write_model(tmp_path / "model.onnx", facts=metadata(), drop_output=output)
    )


def test_step_breaks_the_contract(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", facts=metadata(), memory=np.inf)
    assert "output 'enhanced'" in refusal(path)
