"""Quantised files keep the contract, and are written only where they cost neither time nor quality."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.core.errors import InputError
from sese.export import quantise
from sese.export.quantise import Compared, export_quantised
from sese.runtime.artefact import Artefact, find_model
from sese.runtime.enhancer import Enhancer

MODEL = "demucs-slim-small"
NOISY = Path(__file__).parents[2] / "examples" / "playground.wav"


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    """A second and a half of noisy speech at 16 kHz ``[time]``."""
    return soundfile.read(NOISY, dtype="float32")[0][16000:40000]


def close(quantised: Path, noisy: np.ndarray, budget: float | str) -> float:
    """How much louder the output is than its difference from the float32 file's, in dB."""
    expected = Enhancer(MODEL, budget).enhance(noisy, 16000)
    difference = Enhancer(quantised, budget).enhance(noisy, 16000) - expected
    return float(10 * np.log10(np.mean(expected**2) / np.mean(difference**2)))


@pytest.mark.parametrize(("kind", "least_db"), [("fp16", 45), ("int8", 15)])
def test_nearly_the_same_samples(kind: str, least_db: float, noisy: np.ndarray, tmp_path: Path) -> None:
    quantise.KINDS[kind](find_model(MODEL), tmp_path / "model.onnx")
    for budget in ("fixed:0.125", 1.0):
        difference = close(tmp_path / "model.onnx", noisy, budget)
        assert least_db < difference < 90, "as good as the kind allows, and not the float32 weights"


def test_half_the_size(tmp_path: Path) -> None:
    quantise.half_weights(find_model(MODEL), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 0.55 * find_model(MODEL).stat().st_size


@pytest.fixture
def data(noisy: np.ndarray, tmp_path: Path) -> Path:
    """A folder with one pair."""
    for name in ("clean", "noisy"):
        (tmp_path / "data" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / name / "a.wav", noisy, 16000)
    return tmp_path / "data"


def measured(monkeypatch: pytest.MonkeyPatch, *levels: Compared) -> None:
    """Let the measurement give these."""
    monkeypatch.setattr(quantise, "compare", lambda *_: list(levels))


@pytest.mark.parametrize(
    "level", [Compared("0.5", 1.2, 1.0, 0.0), Compared("0.5", 1.0, 1.2, 0.0), Compared("0.5", 0.8, 0.8, 0.06)]
)
def test_slower_or_worse_is_not_written(
    level: Compared, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, Compared("0.125", 0.9, 0.9, 0.0), level)
    with pytest.raises(InputError, match=r"level\(s\) 0\.5"):
        export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_passes_is_written(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, Compared("1", 1.01, 0.99, 0.001))
    monkeypatch.setattr(quantise, "export_folder", None)  # the model folder is taken as it is
    export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")
    assert Enhancer(tmp_path / "out").card == Enhancer(MODEL).card
    assert "| 1 | 1.01 | 0.99 | +0.001 |" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(InputError, match="exists already"):
        export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")


def test_unknown_kind(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fp16, int8"):
        export_quantised("int4", data, 1, find_model(MODEL).parent, tmp_path / "out")


def test_measures_and_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quantise, "ROUNDS", {1: 3, 64: 1})
    monkeypatch.setattr(quantise, "MOST_TIME", 100)
    export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")
    printed = capsys.readouterr()
    assert len(re.findall(r"\| [+-]0\.00[0-4] \|", printed.out)) == 4, "halved weights lose next to nothing"
    assert "timing 4 levels" in printed.err
    assert printed.err.count("scoring level") == 4


@pytest.mark.parametrize("frames", [1, 64])
def test_a_slower_file_shows(frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "model.onnx"
    shutil.copy(find_model(MODEL), slow)

    class Busy:
        """Takes twice the time for one of the files."""

        def __init__(self, artefact: Artefact, batch: int) -> None:
            self.seconds = 0.002 if artefact.path == slow else 0.001

        def __call__(self, audio: np.ndarray, level: int) -> None:
            end = time.process_time() + self.seconds
            while time.process_time() < end:
                pass

    monkeypatch.setattr(quantise, "Step", Busy)
    monkeypatch.setattr(quantise, "ROUNDS", {frames: 5})
    assert quantise.times_of(slow, find_model(MODEL), frames) == pytest.approx([2.0] * 4, rel=0.2)


def test_what_is_float32_already(tmp_path: Path) -> None:
    source = find_model(MODEL).parent
    assert quantise.is_exported(source)
    made = tmp_path / "half"
    shutil.copytree(source, made)
    quantise.half_weights(source / "model.onnx", made / "model.onnx")
    assert not quantise.is_exported(made), "what is measured against must be float32"
    (made / "model.onnx").unlink()
    assert not quantise.is_exported(made)


def test_new_facts_need_an_export(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(run: Path, output: Path, **options: str) -> None:
        raise InputError(f"traced as {options['name']}")

    monkeypatch.setattr(quantise, "export_folder", export)
    with pytest.raises(InputError, match="traced as other"):
        export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out", name="other")
