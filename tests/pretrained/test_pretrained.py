"""Tests of the bundled models: they open, are documented, match their weights, and improve speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sese.evaluation.metrics import si_sdr
from sese.export.check import TOLERANCE, check_export
from sese.nn import checkpoint
from sese.runtime.artefact import DEFAULT_MODEL, PRETRAINED, bundled_models, open_artefact
from sese.runtime.enhancer import Enhancer

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
MODELS = bundled_models()
DEMONSTRATIONS = {"bloom-net", "cold-diffusion", "conv-fsenet-dyncp", "ftf-net-dsn", "nsnet2-dynamic"}
GAIN_DB = {True: 1.0, False: 3.0}  # of a demonstration, trained for four hours, and of any other


def test_the_default_is_bundled():
    assert DEFAULT_MODEL in MODELS


@pytest.mark.parametrize("name", MODELS)
def test_the_folder_is_whole(name: str):
    folder = PRETRAINED / name
    card = (folder / "README.md").read_text()
    for heading in ("## Levels", "## Data and licences", "## How to reproduce", "## Training", "## Limits"):
        assert heading in card
    sizes = [(folder / file).stat().st_size for file in ("model.onnx", "model.safetensors")]
    assert sizes[0] <= sizes[1] + 400_000  # each weight once; the rest are graphs


@pytest.mark.parametrize("name", MODELS)
def test_a_demonstration_says_so(name: str):
    assert ("Demonstration" in open_artefact(name).card.description) == (name in DEMONSTRATIONS)


@pytest.mark.parametrize("name", MODELS)
def test_the_artefact_is_the_network(name: str):
    folder = PRETRAINED / name
    card = open_artefact(name).card
    used = [level.utilization for level in card.levels]
    assert check_export(folder / "model.onnx", checkpoint.load(folder), used) <= TOLERANCE
    costs = [level.macs_per_second for level in card.levels]
    assert costs == sorted(costs)
    assert card.latency_ms <= 40


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("example", ["playground", "dryer"])
def test_it_helps_on_the_examples(name: str, example: str):
    noisy, rate = soundfile.read(EXAMPLES / f"{example}.wav", dtype="float32")
    clean, _ = soundfile.read(HERE / f"{example}_clean.flac", dtype="float32")
    gains = [
        si_sdr(clean, Enhancer(name, budget=level.utilization).enhance(noisy, rate)) - si_sdr(clean, noisy)
        for level in open_artefact(name).card.levels
    ]
    assert gains[-1] >= GAIN_DB[name in DEMONSTRATIONS]
    assert gains[0] > 0.0


@pytest.mark.parametrize("example", ["playground", "dryer"])
def test_clean_speech_passes_the_default_unharmed(example: str):
    clean, rate = soundfile.read(HERE / f"{example}_clean.flac", dtype="float32")
    noise = np.random.default_rng(1).normal(size=len(clean)).astype(np.float32)
    noisy = clean + noise * np.std(clean) / np.std(noise) * 10 ** (-30 / 20)
    assert si_sdr(clean, Enhancer(DEFAULT_MODEL).enhance(noisy, rate)) > 25


@pytest.mark.parametrize("name", MODELS)
def test_silence_stays_silent_and_quiet_speech_is_not_lost(name: str):
    enhancer = Enhancer(name)
    assert np.abs(enhancer.enhance(np.zeros(16000, np.float32), 16000)).max() < 1e-4
    clean, rate = soundfile.read(HERE / "dryer_clean.flac", dtype="float32")
    for gain in (1.0, 0.03):
        kept = enhancer.enhance(gain * clean, rate)
        assert si_sdr(clean, kept) > 10
        assert np.std(kept) == pytest.approx(gain * np.std(clean), rel=0.3)
