"""Tests of predictions for any recording, of the bundled network, and of `sese evaluate --predict`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from quality.networks import network
from quality.pairs import write_pairs
from sese.cli.main import app
from sese.core.errors import InputError
from sese.evaluation.pairs import find_recordings, read_pair
from sese.predictor import packed
from sese.predictor.design import Design
from sese.predictor.predictor import BUNDLED, predicted_pesq
from sese.predictor.spectrum import log_mel
from sese.quality.exporting import packed_of

ROOT = Path(__file__).parents[2]
DESIGN = Design(seconds=1.0, bands=16, channels=(8, 8, 8, 8), activation="binary", pool="mean")
SMALL = packed_of(network(DESIGN))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def one(clip: np.ndarray) -> float:
    return packed.predict(SMALL, log_mel(clip, DESIGN))


def test_long_recordings_are_means_over_clips(monkeypatch: pytest.MonkeyPatch):
    audio = noise(40_000) * np.linspace(0.1, 1, 40_000, dtype=np.float32)  # 2.5 s
    starts = (0, 24_000)  # every two seconds, and the end
    assert predicted_pesq(audio, SMALL) == pytest.approx(
        np.mean([one(audio[s : s + 16_000]) for s in starts])
    )
    assert predicted_pesq(audio[:16_000], SMALL) == one(audio[:16_000])


def test_short_recordings_are_repeated():
    audio = noise(7000)
    assert predicted_pesq(audio, SMALL) == one(np.tile(audio, 3)[:16_000])


def test_silence_has_no_score_and_is_left_out():
    assert np.isnan(predicted_pesq(np.zeros(5000, np.float32), SMALL))
    assert np.isnan(predicted_pesq(np.zeros(0, np.float32), SMALL))
    audio = np.concatenate([noise(32_000), np.zeros(64_000, np.float32)])
    heard = [one(audio[start : start + 16_000]) for start in (0,)]
    assert predicted_pesq(audio, SMALL) == pytest.approx(np.mean(heard))


def test_the_bundled_predictor_is_small_and_documented():
    assert BUNDLED.stat().st_size < 100_000
    assert packed.load(BUNDLED).bytes < 60_000
    card = (BUNDLED.parent / "README.md").read_text()
    for heading in ("## Quality", "## Data and licences", "## How to reproduce", "## Limits"):
        assert heading in card


@pytest.mark.parametrize("name", ["playground", "dryer"])
def test_it_prefers_clean_speech(name: str):
    noisy, rate = soundfile.read(ROOT / "examples" / f"{name}.wav", dtype="float32")
    clean, _ = soundfile.read(ROOT / "tests" / "pretrained" / f"{name}_clean.flac", dtype="float32")
    assert rate == 16_000
    scores = [predicted_pesq(clean + gain * (noisy - clean)) for gain in (0.0, 0.1, 1.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 2.5
    assert scores[2] < 2.0


def test_evaluate_without_clean_sides_and_without_pytorch(tmp_path: Path):
    """In a new process in which neither PyTorch nor a metric's package can be imported."""
    folder = write_pairs(tmp_path / "set") / "noisy"
    soundfile.write(folder / "stereo.flac", np.stack([noise(44_100), noise(44_100, 1)], 1), 44_100)
    arguments = ["evaluate", "demucs-slim-small", str(folder), "--predict", "--jobs", "1", "--json"]
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'pesq', 'pystoi', 'onnx', 'matplotlib']))"
    )
    script = f"{blocked}; from sese.cli.main import main; sys.argv = ['sese', *{arguments!r}]; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["file_count"] == 3
    for row in result["files"]:
        assert 1.0 <= row["predicted_pesq"] <= 4.65
    assert {level["level"] for level in result["levels"]} >= {"noisy", "budget fixed:1"}


def test_a_damaged_recording_costs_no_other_its_score(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", noise(16_000), 16_000)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:200])
    soundfile.write(tmp_path / "c.wav", noise(16_000), 16_000)
    arguments = ["evaluate", "sese-2", str(tmp_path), "--predict", "--jobs", "1", "-b", "1"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "b.wav" in result.stderr
    assert {row["file"] for row in json.loads(result.stdout)["files"]} == {"a.wav", "c.wav"}
    told = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "report")]).stdout
    reports = [(tmp_path / "report" / f"evaluation.{kind}").read_text() for kind in ("md", "html")]
    for text in (told, *reports):
        assert "cannot be read or scored, left out: 1." in text
        assert "b.wav is cut short" in text
    (tmp_path / "a.wav").unlink()
    (tmp_path / "c.wav").write_bytes(b"")
    error = str(CliRunner().invoke(app, arguments).exception)
    assert "b.wav is cut short" in error
    assert error.endswith("(and 1 more cannot be scored)")


def test_predictions_beside_the_truth(tmp_path: Path):
    folder = write_pairs(tmp_path / "set")
    options = ["--metrics", "predicted,pesq", "--budget", "1", "--jobs", "1", "--json"]
    result = CliRunner().invoke(app, ["evaluate", "demucs-slim-small", str(folder), *options])
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["files"][0]
    clean_side = read_pair(find_recordings(folder / "noisy" / "0.wav")[0])[0]
    assert row["predicted_pesq"] == pytest.approx(predicted_pesq(clean_side))
    assert row["pesq_wb"] != row["predicted_pesq"]


def test_bad_places(tmp_path: Path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_recordings(tmp_path / "none")
    with pytest.raises(InputError, match="no audio files"):
        find_recordings(tmp_path)
    with pytest.raises(InputError, match="--limit: 0"):
        find_recordings(tmp_path, 0)
    soundfile.write(tmp_path / "a.wav", noise(100), 16_000)
    result = CliRunner().invoke(app, ["evaluate", "sese-2", str(tmp_path), "--predict", "--metrics", "pesq"])
    assert "pesq needs them" in str(result.exception)
