"""The C library gives what Python's streams give, late by the delay that it states."""

from __future__ import annotations

import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr

from native.building import run
from sese import Enhancer, load
from sese.runtime.artefact import find_model

TOLERANCE = 1e-5


@cache
def opened(model: str) -> Enhancer:
    """Return a model, opened once."""
    return load(model)


def enhanced(
    built: Path, folder: Path, audio: np.ndarray, model: str, rate: int, budget: str, blocks: str
) -> tuple[np.ndarray, int]:
    """Return what the library makes of ``[channel, time]``, and its delay."""
    audio.T.tofile(folder / "in.f32")
    words = [built / "library", find_model(model), str(rate), str(len(audio)), budget, blocks]
    said = run([*words, folder / "in.f32", folder / "out.f32"])
    made = np.fromfile(folder / "out.f32", np.float32).reshape(-1, len(audio)).T
    assert made.shape == audio.shape
    return made, int(said.split()[0])


@pytest.mark.parametrize(
    ("model", "rate", "channels", "budget", "blocks"),
    [
        ("sese-2", 16000, 1, "1", "256"),
        ("sese-2", 48000, 1, "auto", "480"),
        ("sese-2", 48000, 2, "0.4", "1,4000,7"),
        ("sese-2", 44100, 2, "fixed:0.06", "441,64"),
        ("sese-2", 8000, 1, "balanced", "64"),
        ("sese-2", 192000, 1, "fastest", "5000"),
        ("demucs-slim-small", 16000, 2, "0.6", "160,1,1000"),
        ("demucs-slim-small", 22050, 1, "best", "1024"),
        ("demucs-slim-small", 48000, 1, "auto", "128"),
        ("bloom-net", 32000, 1, "0.8", "333"),
        ("conv-fsenet-dyncp", 16000, 1, "1", "1000"),
    ],
)
def test_as_python(
    built: Path,
    speech: np.ndarray,
    tmp_path: Path,
    model: str,
    rate: int,
    channels: int,
    budget: str,
    blocks: str,
) -> None:
    audio = soxr.resample(speech[:channels, :20123].T, 16000, rate).T.astype(np.float32)
    audio += 0.3 * np.stack(
        [np.resize(channel, audio.shape[1]) for channel in speech[:channels]]
    )  # to rate / 2
    made, latency = enhanced(built, tmp_path, audio, model, rate, budget, blocks)
    words = budget if not budget[0].isdigit() else float(budget)
    stream = opened(model).stream(rate, channels=channels, budget=words)
    expected = stream.feed(audio)[:, : audio.shape[1] - latency]
    assert latency == stream.latency_samples
    assert not made[:, :latency].any()
    np.testing.assert_allclose(made[:, latency:], expected, rtol=0, atol=TOLERANCE)
    assert np.abs(expected).max() > 0.01


def test_transforms(built: Path) -> None:
    """Also of lengths that no bundled model needs."""
    assert 0 < float(run([built / "transforms"])) < 1e-4


@pytest.mark.parametrize("model", ["demucs-slim-small", "sese-2", "nsnet2-dynamic", "bloom-net"])
def test_the_compute_of_each_budget(built: Path, speech: np.ndarray, tmp_path: Path, model: str) -> None:
    """Numbers at, between and below levels, and presets, use the share of compute that they use in Python."""
    levels = [level.utilization for level in opened(model).card.levels]
    numbers = [*levels, *((low + high) / 2 for low, high in pairwise(levels))]
    budgets = [f"{number:.6g}" for number in numbers] + ["fastest", "balanced", "best", f"fixed:{levels[1]}"]
    if opened(model).card.router:
        budgets += ["auto", "held:0.7"]
    audio = speech[:1, :6000]
    audio.T.tofile(tmp_path / "in.f32")
    words = [built / "library", find_model(model), "16000", "1", ",".join(budgets), "4000"]
    said = run([*words, tmp_path / "in.f32", tmp_path / "out.f32"]).split("\n")[:-1]
    assert len(said) == len(budgets)
    for budget, line in zip(budgets, said, strict=True):
        stream = opened(model).stream(16000, budget=float(budget) if budget[0].isdigit() else budget)
        stream.feed(audio)
        assert float(line.split()[1]) == pytest.approx(stream.utilization, abs=1e-5), budget


def test_refused(built: Path, speech: np.ndarray, tmp_path: Path) -> None:
    model = find_model("demucs-slim-small")
    audio = speech[0, :4000].copy()
    audio.tofile(tmp_path / "in.f32")
    audio[3000] = np.nan
    audio.tofile(tmp_path / "nan.f32")
    audio[3000] = 1e25
    audio.tofile(tmp_path / "loud.f32")
    for words, said in [
        ([tmp_path / "none.onnx", "16000", "1", "1", "256", "in.f32"], "none.onnx"),
        ([model, "4000", "1", "1", "256", "in.f32"], "sample_rate is 4000"),
        ([model, "16000", "0", "1", "256", "in.f32"], "channels is 0"),
        ([model, "16000", "1", "0.01", "256", "in.f32"], "from 0.125, the lowest level, to 1"),
        ([model, "16000", "1", "fixed:0.3", "256", "in.f32"], "no such level"),
        ([model, "16000", "1", "threshold", "256", "in.f32"], "budget is 'threshold'"),
        ([find_model("bloom-net"), "16000", "1", "auto", "256", "in.f32"], "no router"),
        (
            [find_model("conv-fsenet-dyncp"), "16000", "1", "0.5", "256", "in.f32"],
            "at no other budget than 1",
        ),
        ([model, "16000", "1", "1", "1000", "nan.f32"], "sample 0 of the block is NaN"),
        ([model, "48000", "1", "1", "1000", "loud.f32"], "samples above 1e15; scale the audio"),
    ]:
        command = [str(word) for word in [built / "library", *words, "out.f32"]]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 2, ran
        assert said in ran.stderr
        assert ran.stderr.count("\n") == 1
