"""Tests of the stored scores of benchmarks/comparison.py, on tiny networks with two seeds."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from runtime.tiny_model import metadata, write_model
from sese.evaluation.timing import noisy_speech
from sese.training.sweep import plan, sweep

SWEEP = """
config: nsnet2/small
seeds: [1, 2]
set: {model.hidden: 8, model.wide: 8, data.synthetic: true, data.mix.seconds: 0.25, data.mix.reverb: 0.0,
      data.validation_clips: 2, data.validation_seconds: 0.25, training.precision: 32-true, training.steps: 1,
      training.validate_steps: 1, training.warmup_steps: 1, training.batch_size: 2, training.threads: 1}
runs:
  scalable: {set: {training.method: random_level}}
  alone: {set: {training.method: full}}
"""
PLAN = """
systems: {a system: {adaptive: [scalable, missing], static: [alone]}}
claims:
  one: [[scalable@1, alone@0], [missing@0, alone@0]]
"""
MEMORY = {"scalable/seed-1": 0.1, "scalable/seed-2": 0.9, "alone/seed-1": 0.8, "alone/seed-2": 0.2}
"""How much each export spoils the sound: the scalable network is better with the first seed only."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a plan, the runs of a sweep and three clips."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "plan.yaml").write_text(PLAN)
    sweep(plan(folder / "sweep.yaml", folder / "runs"))
    speech, draws = noisy_speech(16000), np.random.default_rng(0)
    for side, noise in (("clean", 0.0), ("noisy", 0.02)):
        (folder / "data" / side).mkdir(parents=True)
        for number in range(3):
            clip = speech[8000 * number :][:24000]
            soundfile.write(
                folder / "data" / side / f"{number}.wav", clip + noise * draws.normal(size=24000), 16000
            )
    lines = ["file,snr_db", *(f"{number}.wav,{7.5 * number}" for number in range(3))]
    (folder / "data" / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def exports() -> Iterator[list[str]]:
    """Return the exports so far, of a stand-in for an export, which takes long."""
    found: list[str] = []

    def export(run: Path, output: Path) -> None:
        name = f"{run.parent.name}/{run.name}"
        found.append(name)
        write_model(output / "model.onnx", memory=MEMORY[name], facts=metadata(name="exported"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sese.export.folder.export_folder", export)
        yield found


@pytest.fixture(scope="module")
def compare(program: Callable[[str], ModuleType], trained: Path, exports: list[str]) -> Callable[..., int]:
    """Return a function that runs comparison.py with the plan."""

    def run(*options: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                sys, "argv", ["comparison.py", "--plan", f"{trained}/plan.yaml", *map(str, options)]
            )
            code: int = program("comparison").main()
        return code

    return run


@pytest.fixture(scope="module")
def scored(
    trained: Path, compare: Callable[..., int], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Folders of the report and of the scores of all runs, with times."""
    folder = tmp_path_factory.mktemp("scored")
    places = folder / "report", folder / "scores"
    assert (
        compare(trained / "runs", trained / "data", "-o", places[0], "--scores", places[1], "--rounds", 1)
        == 0
    )
    return places


@pytest.fixture
def scores(scored: tuple[Path, Path], tmp_path: Path) -> Path:
    """Folder of a copy of the scores."""
    return Path(shutil.copytree(scored[1], tmp_path / "scores"))


def test_a_report_needs_only_the_stored_scores(
    scored: tuple[Path, Path],
    scores: Path,
    compare: Callable[..., int],
    exports: list[str],
    tmp_path: Path,
) -> None:
    files = [path.relative_to(scores) for path in scores.rglob("*") if path.is_file()]
    names = [f"{name}/{file}" for name in MEMORY for file in ("about.json", "scores.csv")]
    assert sorted(map(str, files)) == sorted([*names, "times.json"])
    assert sum((scores / path).stat().st_size for path in files) < 20_000
    text = "".join((scores / path).read_text() for path in files)
    assert str(scored[1].parents[1]) not in text  # no place of this machine
    before = list(exports)
    assert compare("-o", tmp_path / "report", "--scores", scores) == 0
    assert exports == before
    for name in ("comparison.md", "comparison.json"):
        assert (tmp_path / "report" / name).read_bytes() == (scored[0] / name).read_bytes()
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "comparison.md",
        "comparison.json",
        "comparison.png",
    }


def test_points_are_means_over_seeds_and_a_claim_whose_seeds_disagree_is_open(
    scored: tuple[Path, Path],
) -> None:
    found = json.loads((scored[0] / "comparison.json").read_text())
    points = {(each["model"], each["budget"]): each for each in found["points"]}
    assert set(points) == {
        ("alone", "1"),
        *(("scalable", budget) for budget in ("0.125", "0.25", "0.5", "1", "threshold:0")),
    }
    tables = {name: read_scores(scored[1] / name) for name in MEMORY}
    for (model, budget), each in points.items():
        rows = [tables[f"{model}/{seed}"][label(budget)] for seed in each["seeds"]]
        assert each["seeds"] == ["seed-1", "seed-2"]
        assert each["mean"]["pesq_wb"]["mean"] == pytest.approx(np.mean(rows))
        assert each["ms"] > 0
    (claim,) = found["claims"]
    assert claim["against"] == "alone@0"
    of, against = (
        np.array([tables[f"{name}/seed-{seed}"][label(budget)] for seed in (1, 2)])
        for name, budget in (("scalable", "0.25"), ("alone", "1"))
    )
    assert claim["pesq_wb"]["mean"] == pytest.approx((of - against).mean())
    alone = [claim["seeds"][f"seed-{seed}"]["pesq_wb"]["mean"] for seed in (1, 2)]
    assert alone == pytest.approx((of - against).mean(axis=1).tolist())
    assert alone[0] > 0 > alone[1]
    assert claim["verdicts"]["pesq_wb"] == "open"


def read_scores(folder: Path) -> dict[str, list[float]]:
    """Return the PESQ of the files of a stored run by level."""
    found: dict[str, list[float]] = {}
    with (folder / "scores.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["level"], []).append(float(row["pesq_wb"]))
    return found


def label(budget: str) -> str:
    return f"budget {budget}" if ":" in budget else f"budget fixed:{budget}"


def test_only_what_is_missing_is_scored(
    trained: Path,
    scores: Path,
    compare: Callable[..., int],
    exports: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = Path(shutil.copytree(trained / "runs", tmp_path / "runs"))
    weights = runs / "alone" / "seed-2" / "best" / "model.safetensors"
    save_file({name: 0.5 * values for name, values in load_file(weights).items()}, weights)
    shutil.rmtree(runs / "scalable" / "seed-2")
    shutil.rmtree(scores / "scalable" / "seed-1")
    before = {path: path.read_bytes() for path in scores.rglob("*") if path.is_file()}
    command = (runs, trained / "data", "-o", tmp_path / "report", "--scores", scores, "--rounds", 0)
    assert compare(*command) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scoring")]
    assert lines == ["scoring scalable/seed-1", "scoring alone/seed-2"]
    changed = {
        path.parent.relative_to(scores).as_posix()
        for path, content in before.items()
        if path.read_bytes() != content
    }
    assert changed == {"alone/seed-2"}
    found = json.loads((tmp_path / "report" / "comparison.json").read_text())
    (alone,) = (each for each in found["points"] if each["model"] == "alone")
    assert alone["seeds"] == ["seed-1", "seed-2"]
    times = json.loads((scores / "times.json").read_text())["runs"]
    assert alone["ms"] == times["alone/seed-1"]["ms"]["1"]  # the other time is of other weights
    count = len(exports)
    assert compare(*command) == 0
    assert "scoring" not in capsys.readouterr().err
    assert len(exports) == count


def test_bad_usage_is_one_line(
    trained: Path,
    scores: Path,
    compare: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs, data, report = trained / "runs", trained / "data", tmp_path / "report"
    assert compare("-o", report) == 2
    assert "holds no scores of runs that the plan names" in capsys.readouterr().err
    assert compare(runs, "-o", report) == 2
    assert "no test set" in capsys.readouterr().err
    assert compare(tmp_path / "nothing", data, "-o", report) == 2
    assert "holds no finished run that plan.yaml names" in capsys.readouterr().err
    assert compare(runs, data, "-o", report, "--scores", scores, "--limit", 2) == 2
    assert "has scores of other clips" in capsys.readouterr().err
    assert compare(runs, data, "-o", report, "--rounds", "-1") == 2
    assert "--rounds is -1; use 0 or more" in capsys.readouterr().err
    assert compare("-o", report, "--plan", tmp_path / "none.yaml") == 2
    assert "none.yaml: no such file" in capsys.readouterr().err
    about = scores / "alone" / "seed-1" / "about.json"
    about.write_text(about.read_text().replace('"clips": "', '"clips": "other'))
    assert compare("-o", report, "--scores", scores) == 2
    assert "has scores of other clips than the others" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("alone/seed-1/scores.csv", "0.wav,budget fixed:1,", "0.wav,budget fixed:1,x"),
        ("alone/seed-1/scores.csv", "0.wav,budget fixed:1,", "3.wav,budget fixed:1,"),
        ("alone/seed-1/scores.csv", "0.wav,noisy,", "0.wav,budget 7,"),
        ("alone/seed-1/about.json", '"levels"', '"level"'),
        ("times.json", '"ms"', '"s"'),
    ],
)
def test_damaged_files_are_told(
    name: str,
    old: str,
    new: str,
    scores: Path,
    compare: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (scores / name).read_text()
    assert old in text
    (scores / name).write_text(text.replace(old, new))
    assert compare("-o", tmp_path / "report", "--scores", scores) == 2
    assert "is damaged" in capsys.readouterr().err


def test_times_are_medians_over_rounds(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: Any = program("comparison_scores")
    times = iter([[1, 2, 9], [5, 5, 5], [3, 3, 3], [7, 6, 8], [4, 4, 4], [6, 6, 6]])
    monkeypatch.setattr(stored, "frame_ms", lambda *_: np.array(next(times), float))
    card = SimpleNamespace(sample_rate=16000)
    streams = {("a/seed-1", "auto"): (card, None), ("b/seed-1", "1"): (card, None)}
    assert stored.time_streams(streams, 3) == {"a/seed-1": {"auto": 3.0}, "b/seed-1": {"1": 6.0}}
