"""Tests of the files of scores of benchmarks/claims.py: made-up ones, and those of tiny networks."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from sese.core.errors import InputError
from sese.training.sweep import plan, sweep

SWEEP = """
config: debug
seeds: [1]
set: {training.precision: 32-true, training.steps: 4, training.validate_steps: 2, training.warmup_steps: 1,
      training.threads: 1, data.mix.seconds: 0.25, data.validation_clips: 2, data.validation_seconds: 0.25}
runs:
  backbone: {set: {training.method: random_level}}
  joint-0.25: {set: {model.router_channels: 4, training.method: routing}}
  static-0.25: {set: {training.method: random_level, training.random_level.shares: [0, 1, 0, 0]}}
"""
FILES = ["a.wav", "b.wav"]


@pytest.fixture(scope="module")
def files(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_files")


@pytest.fixture(scope="module")
def tables(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_tables")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a sweep, the runs of its first two names, and two clips."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "sweep.yaml").write_text(SWEEP)
    sweep(plan(folder / "sweep.yaml", folder / "runs")[:2])
    draws = np.random.default_rng(0)
    for side in ("clean", "noisy"):
        (folder / "data" / side).mkdir(parents=True)
        for name in FILES:
            soundfile.write(folder / "data" / side / name, draws.uniform(-0.1, 0.1, 8000), 16000)
    return folder


@pytest.fixture
def claims(program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that runs claims.py."""

    def run(*options: object) -> int:
        monkeypatch.setattr(sys, "argv", ["claims.py", *map(str, options)])
        code: int = program("claims").main()
        return code

    return run


@pytest.fixture
def scored(trained: Path, claims: Callable[..., int], tmp_path: Path) -> Path:
    """Folder with the scores of the two runs."""
    assert (
        claims("score", trained / "runs", trained / "data", "-o", tmp_path / "s", "--metrics", "si_sdr") == 0
    )
    return tmp_path / "s"


def row(draws: np.random.Generator, count: int, routed: bool) -> dict[str, Any]:
    """Return made-up scores with the decimals that the file has."""
    shares = (
        np.round(draws.dirichlet(np.ones(4), count), 3) if routed else np.tile([0.0, 1, 0, 0], (count, 1))
    )
    found = {
        "input_si_sdr": draws.uniform(0, 15, count).round(2).tolist(),
        "utilization": (draws.uniform(0.1, 0.9, count).round(4) if routed else np.full(count, 0.25)).tolist(),
        "macs_per_second": (1e6 * draws.uniform(50, 200, count).round(3)).tolist(),
        "pesq_wb": draws.uniform(1, 4, count).round(3).tolist(),
        "si_sdr": draws.uniform(0, 20, count).round(2).tolist(),
        "shares": shares.tolist(),
    }
    return found | ({"changes": draws.normal(0, 0.1, (count, 2)).round(5).tolist()} if routed else {})


def test_files_of_scores_give_the_same_tables(files: Any, tables: Any, tmp_path: Path) -> None:
    draws, count = np.random.default_rng(0), 30
    names = [f"{number:05}.wav" for number in range(count)]
    noisy = {key: value for key, value in row(draws, count, False).items() if key in ("pesq_wb", "si_sdr")}
    runs = {
        "backbone": {
            f"seed-{n}": {"0": row(draws, count, False), "1": row(draws, count, False)} for n in (1, 2)
        },
        "joint-0.1": {f"seed-{n}": {"router": row(draws, count, True)} for n in (1, 2)},
    }
    for seeds in runs.values():
        for rows in seeds.values():
            rows.get("0", {})["shares"] = [[1.0, 0, 0, 0]] * count
    runs["joint-0.1"]["seed-1"]["router"]["pesq_wb"][3] = float("nan")
    about = {"clips": "same", "levels": [0.125, 0.25, 0.5, 1.0]}
    files.write(tmp_path / "noisy", files.Stored(names, {"noisy": noisy}, {"clips": "same"}))
    for name, seeds in runs.items():
        for seed, rows in seeds.items():
            files.write(tmp_path / name / seed, files.Stored(names, rows, about))
    before, stored = files.read_all(tmp_path)
    assert stored["joint-0.1"]["seed-1"].files == names
    again = {name: {seed: each.rows for seed, each in seeds.items()} for name, seeds in stored.items()}
    assert tables.compare(again, before.rows["noisy"]) == tables.compare(runs, noisy)
    changes = [
        each["router"]["changes"] for each in (again["joint-0.1"]["seed-2"], runs["joint-0.1"]["seed-2"])
    ]
    assert changes[0] == changes[1]


def test_a_run_of_four_levels_and_240_clips_is_below_60_kb(files: Any) -> None:
    draws = np.random.default_rng(0)
    metrics = {"stoi": [0.12345] * 240, "estoi": [0.12345] * 240, "dnsmos_p808": [3.12345] * 240}
    rows = {str(level): {**row(draws, 240, False), **metrics} for level in range(4)}
    assert len(files.to_csv([f"{number:05}.wav" for number in range(240)], rows)) < 60_000


def test_an_interrupted_write_leaves_what_was_there(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "joint-0.1" / "seed-1"
    rows = {"router": row(np.random.default_rng(0), 2, True)}
    write = Path.write_text

    def interrupted(path: Path, *content: Any) -> int:
        if path.name == files.ABOUT:
            raise KeyboardInterrupt
        return write(path, *content)

    for before in ({}, {"seed": 1}):
        if before:
            files.write(place, files.Stored(FILES, rows, before))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", interrupted)
            with pytest.raises(KeyboardInterrupt):
                files.write(
                    place, files.Stored(FILES, {"router": row(np.random.default_rng(1), 2, True)}, {})
                )
        assert [path.name for path in place.parent.iterdir()] == ([place.name] if before else [])
    assert files.read(place).about == {"seed": 1}
    assert files.read(place).rows["router"]["si_sdr"] == rows["router"]["si_sdr"]


def test_damaged_files_are_told(files: Any, tmp_path: Path) -> None:
    files.write(tmp_path, files.Stored(FILES, {"router": row(np.random.default_rng(0), 2, True)}, {}))
    table = tmp_path / files.CSV
    table.write_text(table.read_text().replace("router,", "router,x", 1))
    with pytest.raises(InputError, match="is damaged"):
        files.read(tmp_path)


def test_runs_are_scored_once_and_reported_without_them(
    trained: Path,
    scored: Path,
    claims: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = [scored / "backbone" / "seed-1", scored / "joint-0.25" / "seed-1"]
    assert sorted(path.parent for path in scored.glob("*/*/about.json")) == places
    first, joint = (json.loads((place / "about.json").read_text()) for place in places)
    assert [each["step"] for each in joint["validation"]] == [2, 4]
    # Four clips of a quarter of a second in each of four steps.
    assert joint["hours"] == pytest.approx(4 / 3600, abs=1e-4)
    assert {"utilization", "si_sdr/routed", "noise_correlation"} <= set(joint["validation"][-1])
    assert {f"si_sdr/{level}" for level in range(4)} <= set(first["validation"][-1])
    assert joint["levels"] == [0.125, 0.25, 0.5, 1.0]
    assert joint["config"] != first["config"]
    assert [len(course) for course in joint["drop"]["courses"]] == [2 * (8000 // 64)] * 2
    lines = (places[0] / "scores.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * len(FILES)

    contents = {path: path.read_bytes() for path in scored.rglob("*") if path.is_file()}
    command = ("score", trained / "runs", trained / "data", "-o", scored, "--metrics", "si_sdr")
    assert claims(*command) == 0
    assert "scored" not in capsys.readouterr().err
    assert {path: path.read_bytes() for path in scored.rglob("*") if path.is_file()} == contents

    report = tmp_path / "report"
    shutil.copytree(places[1], places[1].with_name(".seed-1.7.part"))  # left by a process that was killed
    assert claims("report", scored, "-o", report, "--sweep", trained / "sweep.yaml") == 0
    assert {path.name for path in report.iterdir()} == {
        "claims.json",
        "claims.md",
        "fronts.png",
        "utilization_by_file.png",
        "utilization_over_time.png",
    }
    assert (report / "claims.md").read_text().startswith("Runs without scores: static-0.25/seed-1.\n")
    found = json.loads((report / "claims.json").read_text())
    assert found["missing"] == ["static-0.25/seed-1"]
    assert "Verdicts" not in found
    validated = {each["model"]: each for each in found["SI-SDR on the validation set"]}
    levels = first["validation"][-1]
    assert validated["backbone"]["0.0011 h"].split("/") == [f"{levels[f'si_sdr/{n}']:.2f}" for n in range(4)]
    assert validated["joint-0.25"]["0.0011 h"].startswith(
        f"{joint['validation'][-1]['si_sdr/routed']:.2f} at "
    )
    names = [each["model"] for each in found["All models"]]
    assert names == ["noisy", *(f"backbone {level}" for level in range(4)), "joint-0.25"]
    assert claims("report", scored, "-o", report) == 0  # these runs are in the sweep of the claims, too
    found = json.loads((report / "claims.json").read_text())
    assert "joint-0.25/seed-2" in found["missing"]
    assert "joint-0.25/seed-1" not in found["missing"]
    last = ["beta-0.0", "beta-5.0", "gamma-0.0", "gamma-1.0"]
    assert found["missing"][-4:] == [f"{name}/seed-2" for name in last]
    assert all(each["verdict"].startswith("waiting for ") for each in found["Verdicts"])


def test_other_weights_are_scored_again_and_other_clips_refused(
    trained: Path,
    scored: Path,
    claims: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = shutil.copytree(trained / "runs", tmp_path / "runs")
    changed = runs / "joint-0.25" / "seed-1"
    weights = load_file(changed / "last" / "model.safetensors")
    save_file(
        {name: 0.5 * values for name, values in weights.items()}, changed / "last" / "model.safetensors"
    )
    before = {place: (place / "scores.csv").read_text() for place in scored.glob("*/seed-1")}
    capsys.readouterr()
    assert claims("score", runs, trained / "data", "-o", scored, "--metrics", "si_sdr") == 0
    assert capsys.readouterr().err.splitlines() == [f"scored {changed}"]
    for place, content in before.items():
        assert ((place / "scores.csv").read_text() == content) is (place.parent.name == "backbone")

    data = shutil.copytree(trained / "data", tmp_path / "data")
    shutil.copy(data / "noisy" / "a.wav", data / "noisy" / "b.wav")
    assert claims("score", runs, data, "-o", scored, "--metrics", "si_sdr") == 2
    assert "has scores of other clips" in capsys.readouterr().err


def test_times_are_added_to_scores(
    trained: Path,
    scored: Path,
    claims: Callable[..., int],
    remembering: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exports = []

    def export(run: Path, output: Path) -> None:
        """Stand in for an export, which takes long."""
        exports.append(run)
        shutil.copytree(remembering, output)

    monkeypatch.setattr("sese.export.folder.export_folder", export)
    about = scored / "joint-0.25" / "seed-1" / "about.json"
    known = json.loads(about.read_text())
    known["levels"] = known["levels"][:2]  # as many as the other model has
    about.write_text(json.dumps(known))
    before = (about.parent / "scores.csv").read_text()
    command = (
        "score",
        trained / "runs",
        trained / "data",
        "-o",
        scored,
        "--metrics",
        "si_sdr",
        "--rounds",
        "1",
    )
    assert claims(*command) == 0
    assert claims(*command) == 0
    assert exports == [trained / "runs" / "joint-0.25" / "seed-1" / "last"]
    assert (about.parent / "scores.csv").read_text() == before
    ms = json.loads(about.read_text())["times"]["ms"]
    assert list(ms) == ["0", "1", "router"]
    report = tmp_path / "report"
    shutil.rmtree(scored / "backbone")
    assert claims("report", scored, "-o", report, "--sweep", trained / "sweep.yaml") == 0
    found = json.loads((report / "claims.json").read_text())
    models = {each["model"]: each for each in found["All models"]}
    assert models["joint-0.25"]["time"] == f"{ms['router'] / ms['1']:.3f}"
    assert found["Times"][0]["router"] == f"{ms['router']:.3f}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "-1"], "--rounds is -1"),
        (["--metrics", "estoi"], "--metrics has no si_sdr"),
        (["--metrics", "si_sdr"], "no finished run"),
    ],
)
def test_bad_usage_of_score_is_one_line(
    options: list[str],
    message: str,
    claims: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("clean", "noisy"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", np.full(800, 0.1), 16000)
    assert claims("score", tmp_path / "runs", tmp_path, "-o", tmp_path / "scores", *options) == 2
    assert message in capsys.readouterr().err


def test_a_report_needs_scores_of_the_sweep(
    files: Any, claims: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert claims("report", tmp_path, "-o", tmp_path / "report") == 2
    assert "holds no scores of runs" in capsys.readouterr().err
    draws = np.random.default_rng(0)
    rows = {"router": row(draws, 2, True)}
    files.write(tmp_path / "noisy", files.Stored(FILES, {"noisy": {"si_sdr": [1.0, 2.0]}}, {"clips": "same"}))
    files.write(
        tmp_path / "other" / "seed-1", files.Stored(FILES, rows, {"clips": "same", "levels": [0.25, 1]})
    )
    assert claims("report", tmp_path, "-o", tmp_path / "report") == 2
    assert "has scores of other, which is no run of sweeps/demucs_60h" in capsys.readouterr().err
    files.write(tmp_path / "other" / "seed-1", files.Stored(FILES, rows, {"clips": "others", "levels": [1]}))
    assert claims("report", tmp_path, "-o", tmp_path / "report") == 2
    assert "has scores of other clips" in capsys.readouterr().err
