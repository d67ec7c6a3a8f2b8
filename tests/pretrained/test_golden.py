"""The bundled models do what they did, on any processor and ONNX Runtime; `golden.py` writes it down anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pretrained.golden import FILE, TIME, cases, fingerprint, numbers, opened, run, sounds
from sese.runtime.artefact import Artefact, open_artefact

TOLERANCE = 1e-3  # of the peak
FLIPPED = 0.02  # share of frames in which a router may be of another mind: scores that tie to rounding


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(FILE) as arrays:
        return {name: arrays[name].astype(np.float64) for name in arrays.files}


def off(golden: dict[str, np.ndarray], key: str, enhanced: np.ndarray) -> np.ndarray:
    """Largest deviation of each 20 ms, of the peak."""
    expected = golden[key]
    return np.abs(fingerprint(enhanced) - expected).max(axis=1) / np.abs(expected).max()


def test_every_model_has_its_fingerprints(golden: dict[str, np.ndarray]) -> None:
    keys = {" ".join(case) for case in cases()}
    assert {key.removesuffix(" used") for key in golden} == keys, "run tests/pretrained/golden.py"


@pytest.mark.parametrize(("name", "budget", "sound"), list(cases()))
def test_it_does_what_it_did(golden: dict[str, np.ndarray], name: str, budget: str, sound: str) -> None:
    enhanced, used = run(opened(name), budget, sounds()[sound])
    key = f"{name} {budget} {sound}"
    deviation = off(golden, key, enhanced)
    if budget == "auto":
        other = np.abs(used - golden[f"{key} used"]) > TOLERANCE
        assert other.mean() <= FLIPPED
        if other.any():  # what comes before a frame that was decided otherwise is as it was
            card = opened(name).card
            same = int(other.argmax()) * card.hop_length - card.lookahead_samples
            deviation = deviation[: max(0, same) * 50 // TIME]
    assert deviation.max(initial=0) < TOLERANCE


def test_the_sounds_are_what_they_were() -> None:
    assert numbers(5, 1).tolist() == [15496, 24200, 33046, 46195, 3312]
    assert [sound.shape for sound in sounds().values()] == [(TIME,)] * 2
    assert [round(float(np.abs(sound).sum()), 1) for sound in sounds().values()] == [717.1, 847.5]


def changed(tmp_path: Path, artefact: Artefact, largest: int) -> Artefact:
    """The model with one of its largest weights 5 % larger."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(artefact.path)
    weights = sorted(proto.graph.initializer, key=lambda tensor: -int(np.prod(tensor.dims)))
    values = onnx.numpy_helper.to_array(weights[largest]) * np.float32(1.05)
    weights[largest].CopyFrom(onnx.numpy_helper.from_array(values, weights[largest].name))
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    return open_artefact(path)


@pytest.mark.parametrize("largest", [0, 4, 9])
def test_a_changed_weight_is_seen(golden: dict[str, np.ndarray], tmp_path: Path, largest: int) -> None:
    model = changed(tmp_path, opened("demucs-slim-small"), largest)
    enhanced, _ = run(model, "fixed:1", sounds()["speech"])
    assert off(golden, "demucs-slim-small fixed:1 speech", enhanced).max() > 2 * TOLERANCE
