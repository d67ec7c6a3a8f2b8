"""Quantised files keep the contract, and are written only where they cost neither time nor quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.errors import InputError
from sese.export import quantise
from sese.export.quantise import Compared, export_quantised
from sese.runtime.artefact import find_model
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
    "level", [Compared(0.5, 1.2, 1.0, 0.0), Compared(0.5, 1.0, 1.2, 0.0), Compared(0.5, 0.8, 0.8, 0.06)]
)
def test_slower_or_worse_is_not_written(
    level: Compared, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, Compared(0.125, 0.9, 0.9, 0.0), level)
    monkeypatch.setattr(quantise, "export_folder", copied)
    with pytest.raises(InputError, match=r"level\(s\) 0\.5"):
        export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_passes_is_written(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, Compared(1.0, 1.01, 0.99, 0.001))
    monkeypatch.setattr(quantise, "export_folder", copied)
    export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")
    assert Enhancer(tmp_path / "out").card == Enhancer(MODEL).card
    assert "| 1 | 1.01 | 0.99 | +0.001 |" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(InputError, match="exists already"):
        export_quantised("fp16", data, 1, find_model(MODEL).parent, tmp_path / "out")


def test_unknown_kind(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fp16, int8"):
        export_quantised("int4", data, 1, find_model(MODEL).parent, tmp_path / "out")


def copied(run: Path, output: Path) -> None:
    """The model folder as it is; exporting takes a minute, and has tests of its own."""
    output.mkdir()
    for name in ("model.onnx", "README.md"):
        (output / name).write_bytes((run / name).read_bytes())
