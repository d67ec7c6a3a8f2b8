"""Tests of benchmarks/claims.py on known scores, and once from end to end with random weights."""

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
import torch
import yaml

from sese.evaluation import plots
from sese.nn import checkpoint
from sese.nn.backbones.demucs import DemucsConfig


@pytest.fixture(scope="module")
def claims(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_tables")


@pytest.fixture(scope="module")
def times(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_times")


@pytest.fixture(scope="module")
def figures(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_figures")


def scores(si_sdr: tuple[float, ...], used: float, macs: float, ms: float | None = None) -> dict[str, Any]:
    files = len(si_sdr)
    cost = {} if ms is None else {"ms": [ms]}
    return cost | {
        "stoi": [0.5] * files,
        "si_sdr": list(si_sdr),
        "utilization": [used] * files,
        "macs_per_second": [macs] * files,
        "shares": [1.0, 0.0],
    }


def test_one_and_two_seeds_have_intervals_over_files_and_three_over_seeds(claims: Any) -> None:
    apart = np.array([0.0, 2.0, 4.0])
    assert claims.gain([np.full(3, 1.0)], 2) == "+1.00 (+1.00 to +1.00)"
    # The mean over the seeds is the same in every file: no spread over files, though the seeds differ.
    assert claims.gain([apart, 4 - apart], 2) == "+2.00 (+2.00 to +2.00); +2.00, +2.00"
    assert claims.gain([apart, apart + 1], 1).endswith("; +2.0, +3.0")
    assert not claims.gain([apart, apart], 2).startswith("+2.00 (+2.00 to +2.00)")
    # Student's t for two degrees of freedom is 4.303; the standard error of 1, 2, 3 is 0.577.
    assert claims.gain([np.full(3, float(seed)) for seed in (1, 2, 3)], 2) == "+2.00 (-0.48 to +4.48)"


def test_a_target_is_held_against_the_level_of_the_backbone_and_a_static_one(claims: Any) -> None:
    runs = {
        "backbone": [{"0": scores((0, 0), 0.125, 10), "1": scores((1, 3), 0.25, 20)}],
        "joint-0.1": [{"router": scores((2, 4), 0.2, 15)}],
        "static-0.25": [{"1": scores((3, 5), 0.25, 20)}],
    }
    tables = claims.compare(runs, scores((-5, 5), 1, 1))
    (levels,), (alone,) = tables["b"], tables["b, against a level trained alone"]
    assert levels["si_sdr, gain"] == "+1.00 (+1.00 to +1.00)"
    assert alone["si_sdr, gain"] == "-1.00 (-1.00 to -1.00)"
    assert levels["slimmable MACs saved"] == "20%"
    assert levels["all MACs saved"] == "25%"
    # Half-way between the two levels of the backbone, (0, 0) and (1, 3), lies (0.5, 1.5).
    (above,) = tables["a, against the slimmable model's levels"]
    assert above["si_sdr"].startswith("+2.00 (")
    assert "pesq_wb" not in above


@pytest.fixture
def timed_runs() -> dict[str, list[dict[str, Any]]]:
    """Two seeds of a backbone, of a level alone and of routers; one router was not timed."""
    return {
        "backbone": [
            {"0": scores((0, 0), 0.125, 10, 0.2), "1": scores((1, 3), 0.25, 20, 0.3)},
            {"0": scores((0, 1), 0.125, 10, 0.2), "1": scores((1, 4), 0.25, 20, 0.3)},
        ],
        "joint-0.1": [
            {"router": scores((2, 4), 0.2, 15, 0.275)},
            {"router": scores((2, 5), 0.2, 15, 0.275)},
        ],
        "router-0.25": [{"router": scores((0, 2), 0.2, 15)}],
        "static-0.25": [{"1": scores((3, 5), 0.25, 20, 0.3)}, {"1": scores((3, 5), 0.25, 20, 0.3)}],
    }


def test_at_equal_time_the_line_is_one_over_milliseconds(claims: Any, timed_runs: Any) -> None:
    tables = claims.compare(timed_runs, scores((-5, 5), 1, 1))
    (line,) = tables["a, against the slimmable model's levels, at equal time"]
    # Three quarters of the way from (0, 0) to (1, 3) lies (0.75, 2.25), and (0.75, 3.25) with seed 2.
    assert line["model"] == "joint-0.1"
    assert line["ms"] == "0.275"
    assert line["si_sdr"].endswith("; +1.50, +1.50")
    assert [each["model"] for each in tables["a, against the slimmable model's levels"]] == [
        "joint-0.1",
        "router-0.25",
    ]
    models = {each["model"]: each for each in tables["All models"]}
    assert models["backbone 1"]["ms"] == "0.300"
    assert "ms" not in models["router-0.25"]
    assert "ms" not in models["noisy"]
    # One level alone is no line.
    assert tables["a, against levels trained alone, at equal time"] == []


def test_without_times_there_are_no_tables_at_equal_time(claims: Any) -> None:
    runs = {
        "backbone": [{"0": scores((0, 0), 0.125, 10), "1": scores((1, 3), 0.25, 20)}],
        "joint-0.1": [{"router": scores((2, 4), 0.2, 15)}],
    }
    tables = claims.compare(runs, scores((-5, 5), 1, 1))
    assert tables["a, against the slimmable model's levels"]
    assert not any(rows for name, rows in tables.items() if name.endswith("at equal time"))
    assert not any("ms" in each for each in tables["All models"])


def test_a_level_that_takes_as_long_as_a_higher_one_is_not_on_the_line(claims: Any) -> None:
    levels = {
        "0": scores((0.0,), 0.125, 10, 0.31),
        "1": scores((1.0,), 0.25, 20, 0.3),
        "2": scores((3.0,), 0.5, 30, 0.5),
    }
    assert claims.on_line(levels, "si_sdr", 0.4, "ms") == pytest.approx([2.0])
    assert claims.on_line(levels, "si_sdr", 0.1, "ms") == pytest.approx([1.0])
    assert claims.on_line(levels, "si_sdr", 0.9, "ms") == pytest.approx([3.0])
    assert claims.on_line(levels, "si_sdr", 15, "macs_per_second") == pytest.approx([0.5])
    assert claims.on_line({"2": levels["2"]}, "si_sdr", 0.1, "ms") == pytest.approx([3.0])


def test_a_time_is_the_mean_over_frames_of_medians_over_rounds(
    times: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The third frame takes longer; in each round another frame is disturbed.
    rounds = iter([[9.0, 1.0, 4.0], [1.0, 9.0, 4.0], [1.0, 1.0, 9.0]])
    monkeypatch.setattr(times, "frame_ms", lambda *_: np.array(next(rounds)))

    class Card:
        hop_length = 1

    taken = times.in_rounds({("joint-0.1", "seed-1", "router"): (Card, None)}, np.zeros(3), 3)
    assert taken == {("joint-0.1", "seed-1", "router"): 2.0}


def test_the_time_of_a_fixed_level_stands_for_all_seeds_and_that_of_a_router_does_not(times: Any) -> None:
    runs = {
        "backbone": [{"0": scores((0,), 0.125, 10)} for _ in range(2)],
        "joint-0.1": [{"router": scores((0,), 0.2, 15)} for _ in range(2)],
    }
    folders = {name: [Path("seed-1"), Path("seed-2")] for name in runs}
    taken = {("backbone", "seed-1", "0"): 0.2, ("joint-0.1", "seed-2", "router"): 0.3}
    timed = times.with_times(runs, folders, taken)
    assert [rows["0"]["ms"] for rows in timed["backbone"]] == [[0.2], [0.2]]
    first, second = (rows["router"] for rows in timed["joint-0.1"])
    assert "ms" not in first
    assert second["ms"] == [0.3]
    assert "ms" not in runs["backbone"][0]["0"]


def test_figures_have_what_there_is_to_draw(figures: Any, timed_runs: Any) -> None:
    drop = sys.modules["claims_drop"].Drop
    courses = [[0.2] * 60, [0.2] * 30 + [0.1] * 30]
    drops = [drop("joint-0.1", f"seed-{n}", ["a"], 0.016, [[0.0], [-0.1]], courses) for n in (1, 2)]
    drawn = figures.draw(timed_runs, scores((-5, 5), 1, 1), drops)
    assert list(drawn) == ["fronts", "utilization_by_file", "utilization_over_time"]
    for figure in drawn.values():
        assert plots.to_png(figure).startswith(b"\x89PNG")
    # STOI and SI-SDR over MACs and over time.
    panels = drawn["fronts"].axes
    assert [panel.get_xlabel() for panel in panels] == ["MMAC/s"] * 2 + ["ms for 16 ms of audio"] * 2
    lines = {line.get_label(): line.get_xydata().tolist() for line in panels[3].get_lines()}
    assert lines["slimmable network, fixed levels"] == [[0.2, 0.25], [0.3, 2.25]]
    assert lines["joint training"] == [[0.275, 3.25]]
    assert "router on the frozen backbone" not in lines
    assert "router on the frozen backbone" in {line.get_label() for line in panels[1].get_lines()}

    without = {"backbone": [{"0": scores((0, 0), 0.125, 10)}]}
    drawn = figures.draw(without, scores((-5, 5), 1, 1), [])
    assert list(drawn) == ["fronts"]
    assert {panel.get_xlabel() for panel in drawn["fronts"].axes} == {"MMAC/s"}


def test_a_moving_average_keeps_a_constant_to_the_ends(figures: Any) -> None:
    assert figures.smoothed(np.full(10, 0.3), 4) == pytest.approx(np.full(10, 0.3))
    assert figures.smoothed(np.array([0.0, 0.0, 3.0, 0.0, 0.0]), 3) == pytest.approx([0, 1, 1, 1, 0])


def test_clips_are_aligned_at_the_middle(program: Callable[[str], ModuleType]) -> None:
    drop = program("claims_drop")
    assert drop.mean_course([np.array([0.0, 0.2, 0.4, 1.0]), np.array([0.4, 0.6])]) == pytest.approx(
        [0.3, 0.5]
    )


def run_folder(folder: Path, training: dict[str, Any], router_channels: int) -> None:
    config = DemucsConfig(
        channels=4, depth=4, oversampling=1, factors=(0.5, 1.0), layers=1, router_channels=router_channels
    )
    torch.manual_seed(0)
    checkpoint.save(folder / "last", "demucs", config, config.build().state_dict())
    (folder / "config.yaml").write_text(yaml.safe_dump({"training": training}))
    (folder / "done.json").write_text("{}")


def test_runs_are_scored_timed_and_drawn(
    program: Callable[[str], ModuleType], remembering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, data, report = tmp_path / "runs", tmp_path / "data", tmp_path / "report"
    levels = {"method": "random_level", "random_level": {"shares": []}}
    run_folder(runs / "backbone" / "seed-1", levels, 0)
    run_folder(runs / "backbone" / "seed-2", levels, 0)
    run_folder(runs / "joint-0.25" / "seed-1", {"method": "routing"}, 4)
    draws = np.random.default_rng(0)
    for folder in ("clean", "noisy"):
        (data / folder).mkdir(parents=True)
        for name in ("a.wav", "b.wav"):
            soundfile.write(data / folder / name, draws.uniform(-0.1, 0.1, 8000), 16000)
    command = ["claims.py", str(runs), str(data), "-o", str(report), "--metrics", "si_sdr", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", command)
    exports: list[tuple[Path, Path]] = []

    def export(run: Path, output: Path) -> None:
        """Stand in for an export, which takes long."""
        exports.append((run, output))
        shutil.copytree(remembering, output)

    monkeypatch.setattr("sese.export.folder.export_folder", export)
    assert program("claims").main() == 0
    assert {path.name for path in report.iterdir()} == {
        "claims.json",
        "claims.md",
        "fronts.png",
        "models",
        "times.json",
        "utilization_by_file.png",
        "utilization_over_time.png",
    }
    models = report / "models"
    assert exports == [
        (runs / "backbone" / "seed-1" / "last", models / "backbone-seed-1"),
        (runs / "joint-0.25" / "seed-1" / "last", models / "joint-0.25-seed-1"),
    ]
    stored = json.loads((report / "times.json").read_text())
    assert [(each["run"], each["level"]) for each in stored["times"]] == [
        ("backbone", "0"),
        ("backbone", "1"),
        ("joint-0.25", "router"),
    ]
    tables = json.loads((report / "claims.json").read_text())
    expected = {
        f"{each['run']} {each['level']}".removesuffix(" router"): each["ms"] for each in stored["times"]
    }
    shown = {each["model"]: each["ms"] for each in tables["All models"][1:]}
    assert shown == {name: f"{ms:.3f}" for name, ms in expected.items()}
    assert "ms" not in json.loads((runs / "joint-0.25" / "seed-1" / "scores.json").read_text())["router"]
    measured = json.loads((runs / "joint-0.25" / "seed-1" / "drop.json").read_text())
    assert [len(course) for course in measured["courses"]] == [62, 62]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "-1"], "--rounds is -1"),
        (["--metrics", "estoi"], "--metrics has no si_sdr"),
        ([], "no finished run"),
    ],
)
def test_bad_usage_is_one_line(
    options: list[str],
    message: str,
    program: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("clean", "noisy"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", np.full(800, 0.1), 16000)
    command = ["claims.py", str(tmp_path / "runs"), str(tmp_path), "-o", str(tmp_path / "report"), *options]
    monkeypatch.setattr(sys, "argv", command)
    assert program("claims").main() == 2
    assert message in capsys.readouterr().err
