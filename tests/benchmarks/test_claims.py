"""Tests of the tables, times and figures of benchmarks/claims.py on known scores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sese.evaluation import plots


@pytest.fixture(scope="module")
def claims(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_tables")


@pytest.fixture(scope="module")
def times(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_times")


@pytest.fixture(scope="module")
def figures(program: Callable[[str], ModuleType]) -> Any:
    return program("claims_figures")


def scores(si_sdr: tuple[float, ...], used: float, macs: float, time: float | None = None) -> dict[str, Any]:
    files = len(si_sdr)
    cost = {} if time is None else {"time": [time]}
    return cost | {
        "input_si_sdr": [-5.0, 5.0][:files],
        "stoi": [0.5] * files,
        "si_sdr": list(si_sdr),
        "utilization": [used] * files,
        "macs_per_second": [macs] * files,
        "shares": [[1.0, 0.0]] * files,
    }


NOISY = {"stoi": [0.4, 0.4], "si_sdr": [-5.0, 5.0]}


def test_a_gain_has_a_line_over_the_seeds_and_one_for_each(claims: Any) -> None:
    apart = np.array([0.0, 2.0, 4.0])

    def lines(*by_seed: np.ndarray) -> list[tuple[str, str]]:
        gains = {"si_sdr": {f"seed-{n}": values for n, values in enumerate(by_seed, start=1)}}
        return [(each["seed"], each["si_sdr"]) for each in claims.spread(gains, {"si_sdr": 2})]

    assert lines(np.full(3, 1.0)) == [("seed-1", "+1.00 (+1.00 to +1.00)")]
    # The mean over the seeds is the same in every file: no spread over files, though the seeds differ.
    both, first, second = lines(apart, 4 - apart)
    assert both == ("mean of 2", "+2.00 (+2.00 to +2.00)")
    assert first[0] == "seed-1"
    assert first[1].startswith("+2.00 (")
    assert first[1] != "+2.00 (+2.00 to +2.00)"
    assert second[0] == "seed-2"
    assert [text.split()[0] for _, text in lines(apart, apart + 1)] == ["+2.50", "+2.00", "+3.00"]
    # Student's t for two degrees of freedom is 4.303; the standard error of 1, 2, 3 is 0.577.
    three = lines(*(np.full(3, float(seed)) for seed in (1, 2, 3)))
    assert three[0] == ("mean of 3", "+2.00 (+2.00 to +2.00)")
    assert three[-1] == ("mean of 3, Student's t", "+2.00 (-0.48 to +4.48)")
    assert len(three) == 5


def test_a_target_is_held_against_the_level_of_the_backbone_and_a_static_one(claims: Any) -> None:
    runs = {
        "backbone": {"seed-1": {"0": scores((0, 0), 0.125, 10), "1": scores((1, 3), 0.25, 20)}},
        "joint-0.1": {"seed-1": {"router": scores((2, 4), 0.2, 15)}},
        "static-0.25": {"seed-1": {"1": scores((3, 5), 0.25, 20)}},
    }
    tables = claims.compare(runs, NOISY)
    (levels,), (alone,) = tables["b"], tables["b, against a level trained alone"]
    assert levels["si_sdr, gain"] == "+1.00 (+1.00 to +1.00)"
    assert alone["si_sdr, gain"] == "-1.00 (-1.00 to -1.00)"
    assert levels["slimmable MACs saved"] == "20%"
    assert levels["all MACs saved"] == "25%"
    # Half-way between the two levels of the backbone, (0, 0) and (1, 3), lies (0.5, 1.5).
    (above,) = tables["a, against the slimmable model's levels"]
    assert above["si_sdr"].startswith("+2.00 (")
    assert "pesq_wb" not in above


def test_seeds_are_compared_with_the_same_seed(claims: Any) -> None:
    runs = {
        "backbone": {"seed-1": {"0": scores((0, 0), 0.125, 10), "1": scores((1, 3), 0.25, 20)}},
        "joint-0.1": {
            "seed-2": {"router": scores((9, 9), 0.2, 15)},
            "seed-1": {"router": scores((2, 4), 0.2, 15)},
        },
    }
    tables = claims.compare(runs, NOISY)
    (line,) = tables["a, against the slimmable model's levels"]
    assert line["seed"] == "seed-1"
    assert line["si_sdr"].startswith("+2.00 (")
    (gain,) = tables["b"]
    assert gain["si_sdr, gain"].startswith("+1.00 (")
    assert [(each["model"], each["seed"]) for each in tables["All models, each seed"]] == [
        ("joint-0.1", "seed-2"),
        ("joint-0.1", "seed-1"),
    ]


def test_levels_trained_alone_are_compared_when_all_of_a_seed_are_there(claims: Any) -> None:
    runs = {
        "joint-0.1": {"seed-1": {"router": scores((2, 4), 0.2, 15)}},
        "static-0.125": {"seed-1": {"0": scores((0, 0), 0.125, 10)}},
        "static-0.5": {"seed-1": {"2": scores((1, 3), 0.5, 20)}},
    }
    name = "a, against levels trained alone"
    assert claims.compare(runs, NOISY, [*runs])[name]
    assert claims.compare(runs, NOISY, [*runs, "static-0.25"])[name] == []


@pytest.fixture
def timed_runs() -> dict[str, dict[str, dict[str, Any]]]:
    """Two seeds of a backbone, of a level alone and of routers; one router was not timed."""
    router = {**scores((2, 4), 0.2, 15, 0.9), "level_times": {"0": 0.6, "1": 1.0}}
    return {
        "backbone": {
            "seed-1": {"0": scores((0, 0), 0.125, 10, 0.7), "1": scores((1, 3), 0.25, 20, 1.0)},
            "seed-2": {"0": scores((0, 1), 0.125, 10, 0.7), "1": scores((1, 4), 0.25, 20, 1.0)},
        },
        "joint-0.1": {
            "seed-1": {"router": router},
            "seed-2": {"router": {**router, "si_sdr": [2.0, 5.0]}},
        },
        "router-0.25": {"seed-1": {"router": scores((0, 2), 0.2, 15)}},
        "static-0.25": {f"seed-{n}": {"1": scores((3, 5), 0.25, 20, 1.0)} for n in (1, 2)},
    }


def test_at_equal_time_a_router_is_compared_with_the_levels_of_its_rounds(
    claims: Any, timed_runs: Any
) -> None:
    tables = claims.compare(timed_runs, NOISY)
    both, first, second = tables["a, against the slimmable model's levels, at equal time"]
    # Three quarters of the way from (0, 0) to (1, 3) lies (0.75, 2.25), and (0.75, 3.25) with seed 2.
    assert both["model"] == "joint-0.1"
    assert both["time"] == "0.900"
    assert [line["si_sdr"].split()[0] for line in (both, first, second)] == ["+1.50"] * 3
    names = [each["model"] for each in tables["a, against the slimmable model's levels"]]
    assert names == ["joint-0.1"] * 3 + ["router-0.25"]
    models = {each["model"]: each for each in tables["All models"]}
    assert models["backbone 0"]["time"] == "0.700"
    assert "time" not in models["router-0.25"]
    assert "time" not in models["noisy"]
    # One level alone is no line.
    assert tables["a, against levels trained alone, at equal time"] == []


def test_without_times_there_are_no_tables_at_equal_time(claims: Any) -> None:
    runs = {
        "backbone": {"seed-1": {"0": scores((0, 0), 0.125, 10), "1": scores((1, 3), 0.25, 20)}},
        "joint-0.1": {"seed-1": {"router": scores((2, 4), 0.2, 15)}},
    }
    tables = claims.compare(runs, NOISY)
    assert tables["a, against the slimmable model's levels"]
    assert not any(rows for name, rows in tables.items() if name.endswith("at equal time"))
    assert not any("time" in each for each in tables["All models"])


def test_a_level_that_takes_as_long_as_a_higher_one_is_not_on_the_line(claims: Any) -> None:
    levels = {
        "0": scores((0.0,), 0.125, 10, 0.31),
        "1": scores((1.0,), 0.25, 20, 0.3),
        "2": scores((3.0,), 0.5, 30, 0.5),
    }
    assert claims.on_line(levels, "si_sdr", 0.4, "time") == pytest.approx([2.0])
    assert claims.on_line(levels, "si_sdr", 0.1, "time") == pytest.approx([1.0])
    assert claims.on_line(levels, "si_sdr", 0.9, "time") == pytest.approx([3.0])
    assert claims.on_line(levels, "si_sdr", 15, "macs_per_second") == pytest.approx([0.5])
    assert claims.on_line({"2": levels["2"]}, "si_sdr", 0.1, "time") == pytest.approx([3.0])


def test_a_time_is_the_mean_over_frames_of_medians_over_rounds(
    times: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The third frame takes longer; in each round another frame is disturbed.
    rounds = iter([[9.0, 1.0, 4.0], [1.0, 9.0, 4.0], [1.0, 1.0, 9.0]])
    monkeypatch.setattr(times, "frame_ms", lambda *_: np.array(next(rounds)))

    class Card:
        hop_length = 1

    assert times.in_rounds(Card, {"router": None}, np.zeros(3), 3) == {"router": 2.0}


def test_another_stream_is_timed_first_in_each_round(times: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []

    def frame_ms(card: Any, stream: str, *_: Any) -> np.ndarray:
        turns.append(stream)
        return np.array([1.0])

    class Card:
        hop_length = 1

    monkeypatch.setattr(times, "frame_ms", frame_ms)
    times.in_rounds(Card, {"0": "a", "1": "b", "router": "c"}, np.zeros(1), 3)
    assert "".join(turns) == "abcbcacab"


def test_figures_have_what_there_is_to_draw(figures: Any, timed_runs: Any) -> None:
    drop = sys.modules["claims_drop"].Drop
    courses = [[0.2] * 60, [0.2] * 30 + [0.1] * 30]
    drops = [drop("joint-0.1", f"seed-{n}", ["a"], 0.016, [[0.0], [-0.1]], courses) for n in (1, 2)]
    larger = {
        "paper-size": {"seed-1": {"0": scores((1, 2), 0.125, 900)}}
    }  # of another size, so without a time
    drawn = figures.draw(timed_runs | larger, drops)
    assert list(drawn) == ["fronts", "utilization_by_file", "utilization_over_time"]
    for figure in drawn.values():
        assert plots.to_png(figure).startswith(b"\x89PNG")
    # STOI and SI-SDR over MACs and over time.
    panels = drawn["fronts"].axes
    assert [panel.get_xlabel() for panel in panels] == ["MMAC/s"] * 2 + [
        "time of a frame (highest level: 1)"
    ] * 2
    lines = {line.get_label(): line.get_xydata().tolist() for line in panels[3].get_lines()}
    assert lines["slimmable network, fixed levels"] == [[0.7, 0.25], [1.0, 2.25]]
    assert lines["joint training"] == [[0.9, 3.25]]
    assert "the paper's size, fixed levels" not in lines
    over_macs = {line.get_label(): line.get_ydata().tolist() for line in panels[1].get_lines()}
    assert over_macs["the paper's size, fixed levels"] == [1.5]
    assert "router on the frozen backbone" not in lines
    assert "router on the frozen backbone" in {line.get_label() for line in panels[1].get_lines()}

    without = {"backbone": {"seed-1": {"0": scores((0, 0), 0.125, 10)}}}
    drawn = figures.draw(without, [])
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
