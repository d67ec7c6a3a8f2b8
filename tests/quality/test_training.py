"""Whole runs: what they leave behind, that stopping costs nothing, that they learn, what is made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from quality.pairs import write_pairs
from quality.tiny_run import CONFIG, config
from sese.cli.main import app
from sese.core.errors import InputError
from sese.quality import network as networks
from sese.quality.clips import Clips
from sese.quality.comparison import compare, to_figure, to_markdown
from sese.quality.config import read
from sese.quality.sources import LABEL
from sese.quality.training import _features, train
from sese.training.config_file import dump


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert train(config(cache), folder)
    return folder


def lines_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_folder_holds_what_is_promised(finished: Path, cache: Path):
    assert {path.name for path in finished.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "checkpoints",
        "last",
        "best",
    }
    assert read(finished / "config.yaml") == config(cache)
    lines = lines_of(finished)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    validations = [line for line in lines if "pearson" in line]
    assert [line["step"] for line in validations] == [3, 6]
    best = json.loads((finished / "best" / "score.json").read_text())
    assert best["pearson"] == max(line["pearson"] for line in validations)
    assert networks.load(finished / "best").design == config(cache).network


def test_a_stopped_run_ends_as_one_that_was_not(finished: Path, cache: Path, tmp_path: Path):
    assert not train(config(cache), tmp_path / "run", max_minutes=0.0)
    while not train(config(cache), tmp_path / "run", resume=True, max_minutes=0.0):
        pass
    one, other = (networks.load(folder / "last").state_dict() for folder in (finished, tmp_path / "run"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert lines_of(tmp_path / "run") == lines_of(finished)


@pytest.mark.parametrize(("activation", "rate"), [("relu", 0.003), ("binary", 0.01)])
def test_it_learns(cache: Path, tmp_path: Path, activation: str, rate: float):
    """Nine mixtures of all SNRs are learned by heart."""
    settings = config(
        cache,
        f"network.activation={activation}",
        "network.pool=mean",
        "network.beta=1",
        "data.enhanced=0",
        "data.limited=0",
        "data.mix.snr_db=[0,50]",
        "training.batch_size=9",
        "training.steps=120",
        "training.validate_steps=120",
        "training.log_steps=10",
        "training.dropout=0",
        f"training.learning_rate={rate}",
        "training.precision='32'",
    )
    train(settings, tmp_path / "run")
    losses = [line["loss"] for line in lines_of(tmp_path / "run") if "loss" in line]
    assert np.mean(losses[-3:]) < 0.2 * losses[0]


def test_a_start_of_other_sizes_is_refused(finished: Path, cache: Path, tmp_path: Path):
    other = config(cache, f"training.initial={finished / 'best'}", "network.hidden=[16,8]")
    with pytest.raises(InputError, match="network of other sizes"):
        train(other, tmp_path / "run")


def test_runs_are_not_overwritten(finished: Path, cache: Path, tmp_path: Path):
    with pytest.raises(InputError, match="already holds a run"):
        train(config(cache), finished)
    with pytest.raises(InputError, match="holds no run to go on with"):
        train(config(cache), tmp_path / "none", resume=True)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.mix.silence=0.1", "PESQ has no value without speech"),
        ("data.mix.conversation=0.1", "a clip may lie in a pause"),
        ("data.enhanced=0.9", "chances that sum to 1"),
        ("data.held_out=1", "data.held_out is 1"),
        ("training.dropout=1", "training.dropout is 1"),
        ("network.depth=3", "unknown key 'network.depth'"),
        ("data.models=[]", "data.models is empty"),
    ],
)
def test_bad_configurations(override: str, said: str):
    with pytest.raises(InputError, match=said):
        read(CONFIG, [override])


def test_clips_without_any_pesq_are_refused(cache: Path):
    clips = Clips(np.zeros((2, 16000), np.int16), np.zeros(2, LABEL), ("ann",), cache / "none.i16")
    clips.labels["pesq"] = np.nan
    with pytest.raises(InputError, match="none of 2 clips of 'ann' and others has a PESQ"):
        _features(config(cache), clips)


def test_noisy_clips_alone_are_compared(finished: Path, cache: Path, tmp_path: Path):
    run = shutil.copytree(finished, tmp_path / "run")
    alone = config(cache, "data.models=[]", "data.enhanced=0", "data.limited=0")
    (run / "config.yaml").write_text(dump(alone))
    result = compare(write_pairs(tmp_path / "set", 1.0), [run])
    assert result["clips"] == 2
    assert [(row["noisy"] == row["all"], "enhanced" in row) for row in result["rows"]] == [(True, False)] * 2
    assert "| – |" in to_markdown(result)
    assert len(to_figure(result).axes[0].get_lines()) == 2  # noisy clips, and where both agree


def test_commands(finished: Path, tmp_path: Path):
    """A run is compared with PESQ and exported by the commands that the page names."""
    pairs = write_pairs(tmp_path / "set", 1.0)
    arguments = ["compare", pairs, finished, finished, "-o", tmp_path / "report", "--jobs", "1"]
    result = CliRunner().invoke(app, ["quality", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "report" / "quality.json").read_text())["rows"]
    assert [row["bits"] for row in rows] == [32, 8, 32, 8]
    assert rows[2]["all"] == rows[0]["all"]
    assert rows[2]["difference"]["mse"]["high"] == 0
    assert "| 8 bits |" in (tmp_path / "report" / "quality.md").read_text()
    result = CliRunner().invoke(app, ["quality", "export", str(finished), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictor.npz", "predictor.onnx"}
