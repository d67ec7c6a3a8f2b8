"""Whole runs: what they leave behind, that stopping costs nothing, that the runtime runs what they train."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from sese.above import examples as made
from sese.above.config import RATE, AboveConfig, ExamplesConfig, LearningConfig, read
from sese.above.network import GainNetwork, loss, save
from sese.above.training import train
from sese.cli.main import app
from sese.core.errors import InputError
from sese.data.mix_config import MixConfig
from sese.runtime.band_evidence import BANDS, BELOW, FLOOR, LOWEST_EXCESS, WIDTH, BandEvidence
from sese.runtime.band_head import Network
from sese.runtime.band_head import read as read_weights
from sese.runtime.enhancer import Enhancer
from sese.runtime.framing import Framing
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import Pilot


def config(cache: Path, **changes: object) -> AboveConfig:
    data = ExamplesConfig(
        synthetic=True,
        cache_dir=str(cache),
        mix=MixConfig(seconds=1.0),
        clips=6,
        validation_clips=3,
        models=("bloom-net",),
    )
    training = LearningConfig(batch_size=3, points=60, steps=6, warmup_steps=1, validate_steps=3)
    return AboveConfig(units=4, data=data, training=replace(training, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def few_clips_a_file() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "_BLOCK", 4)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path, few_clips_a_file: None) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert train(config(cache), folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / "model.safetensors")


def test_folder_holds_what_is_promised(finished: Path, cache: Path) -> None:
    found = {path.name for path in finished.iterdir()}
    assert found == {"config.yaml", "metrics.jsonl", "checkpoints", "last", "best"}
    assert read(finished / "config.yaml") == config(cache)
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    best = json.loads((finished / "best" / "score.json").read_text())
    assert best["validation_loss"] == min(line["validation_loss"] for line in lines)


def test_a_stopped_run_ends_as_one_that_was_not(finished: Path, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    assert not train(config(cache), folder, max_minutes=1e-9)  # before the first example or step
    done = folder.exists()
    while not train(config(cache), folder, resume=done, max_minutes=0.001):
        done = (folder / "checkpoints" / "last.ckpt").exists()
    for name, value in weights(finished).items():
        torch.testing.assert_close(weights(folder)[name], value)


def test_the_runtime_runs_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = GainNetwork(24)
    save(network, tmp_path / "model.safetensors")
    values = torch.randn(1, 300, WIDTH)
    values[..., BELOW : 2 * BELOW] = -torch.rand(1, 300, BELOW) * 0.05
    with torch.no_grad():
        expected = network(values)[0].numpy()
    gains = Network(read_weights(tmp_path / "model.safetensors"))(values[0, :, None].numpy())[:, 0]
    np.testing.assert_allclose(gains, expected, atol=1e-6)
    assert gains.std() > 0.01


class Hearing:
    """Keep what a head hears in place of choosing gains."""

    def __init__(self, seconds: float) -> None:
        self.evidence = BandEvidence(seconds)
        self.values: list[np.ndarray] = []

    def reset(self) -> None:
        self.evidence.reset()

    def __call__(self, above: np.ndarray, heard: np.ndarray, left: np.ndarray) -> np.ndarray:
        self.values.append(self.evidence(above, heard, left))
        return np.ones_like(above)


def test_examples_are_what_a_stream_hears() -> None:
    """Training stores the values that a head hears in a stream that is fed in small pieces."""
    enhancer, options = Enhancer("bloom-net"), EnhanceOptions(1)
    audio = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    framing, pilot = Framing(enhancer.card, options, RATE), Pilot(enhancer.artefact, 1, options)
    assert framing.above is not None
    framing.above.head = hearing = Hearing(framing.above.seconds)
    for start in range(0, RATE, 777):
        framing.give(pilot(framing.take(audio[start : start + 777])))
    framing.conclude(pilot(framing.finish()))
    above, heard, left = made.powers(framing, Pilot(enhancer.artefact, 1, options), audio)
    expected = made.evidence(above, heard, left, framing.above.seconds)
    assert len(expected) > 100
    np.testing.assert_allclose(np.concatenate(hearing.values), expected, atol=1e-3)


def test_loss_spares_speech() -> None:
    values = torch.zeros(1, 5, WIDTH)
    values[..., FLOOR:] = 1.0
    clean = torch.full((1, 5, BANDS), -0.2)
    right = 10**clean
    assert loss(right, values, clean, 3.0, 1.0) < 1e-10
    low, high = (loss(right * gain, values, clean, 3.0, 1.0) for gain in (0.9, 1.1))
    assert low > 2 * high > 0


def test_loss_hears_how_deep_steady_noise_is() -> None:
    values, clean = torch.zeros(1, 5, WIDTH), torch.full((1, 5, BANDS), -6.0)
    values[..., 2 * BELOW : FLOOR] = -4.0
    values[..., FLOOR:] = LOWEST_EXCESS
    low, high = (torch.full((1, 5, BANDS), gain) for gain in (0.003, 0.03))
    apart = [loss(high, values, clean, 1.0, depth) - loss(low, values, clean, 1.0, depth) for depth in (0, 1)]
    assert apart[1] > 0.5 > 0.02 > apart[0]
    values[..., FLOOR:] = 1.0  # louder than steady noise
    assert loss(high, values, clean, 1.0, 1.0) == loss(high, values, clean, 1.0, 0.0)


def test_refused(finished: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="already holds a run"):
        train(config(cache), finished)
    with pytest.raises(InputError, match="holds no run"):
        train(config(cache), tmp_path, resume=True)
    with pytest.raises(InputError, match=r"data\.clips is 6, training.batch_size 7"):
        train(config(cache, batch_size=7), tmp_path / "few")
    with pytest.raises(InputError, match=r"data\.models is empty"):
        ExamplesConfig(models=())
    damaged = tmp_path / "damaged"
    shutil.copytree(cache, damaged)
    for path in (damaged / "above").iterdir():
        path.write_bytes(b"no arrays")
    with pytest.raises(InputError):
        train(config(damaged), tmp_path / "damaged-run")


def test_command(cache: Path, tmp_path: Path) -> None:
    changes = [
        "units=4",
        "data.synthetic=true",
        f"data.cache_dir={cache}",
        "data.clips=4",
        "data.models=[bloom-net]",
    ]
    changes += [
        "data.validation_clips=2",
        "data.mix.seconds=1.0",
        "training.batch_size=2",
        "training.steps=1",
    ]
    done = CliRunner().invoke(
        app, ["above", "train", "above/band_head", *changes, "--run-dir", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    assert CliRunner().invoke(app, ["above", "train", "above/band_head"]).exit_code != 0
