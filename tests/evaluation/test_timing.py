from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from sese.cli.main import app
from sese.core.errors import InputError
from sese.evaluation import timing
from sese.runtime.artefact import bundled_models, open_artefact
from sese.runtime.budget import parse_budget


def test_every_level_hears_the_same_frames_in_turn() -> None:
    heard: list[tuple[int, float]] = []

    def stream(index: int) -> SimpleNamespace:
        return SimpleNamespace(feed=lambda frame: heard.append((index, float(frame[0]))), reset=heard.clear)

    streams = [stream(index) for index in range(3)]
    times = timing.time_frames(streams, np.arange(40.0), hop=10, rounds=50)
    assert times.shape == (3, 50)
    assert (times > 0).all()
    # The warm-up is forgotten; then the streams take turns, and each hears all frames in order.
    for index in range(3):
        assert [frame for who, frame in heard if who == index] == [10.0 * (n % 4) for n in range(50)]
    turns = [who for who, _ in groupby(heard, key=lambda each: each[0])]
    assert sorted(turns) == sorted([0, 1, 2] * 3)
    assert len({turns[0], turns[3], turns[6]}) > 1, "no stream always comes first"


def test_profile_of_a_model(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "FILE_SECONDS", 1)
    run = CliRunner().invoke(app, ["profile", str(tiny), "--rounds", "30", "--json"])
    assert run.exit_code == 0, run.output
    result = json.loads(run.stdout)
    names = ["fixed:0.125", "fixed:0.25", "fixed:0.5", "fixed:1", "0.3", "0.125"]
    shares = [0.125, 0.25, 0.5, 1.0, 0.25, 0.125]
    assert [level["level"] for level in result["levels"]] == [f"budget {name}" for name in names]
    assert [level["runs"] for level in result["levels"]] == [f"{share:g}" for share in shares]
    for where in (result["levels"], [level["file"] for level in result["levels"]]):
        assert [each["utilization"] for each in where] == shares
        assert [each["macs_per_second"] for each in where] == [1e6 * share for share in shares]
    assert [level["parameters"] for level in result["levels"]] == [125, 250, 500, 1000, 250, 125]
    for number, level in ((4, 1), (5, 0)):  # a number that runs a level is that level
        for way in ("stream", "file"):
            assert result["levels"][number][way] == result["levels"][level][way]
    assert result["frame_ms"] == 4
    for level in result["levels"]:
        stream, file = level["stream"], level["file"]
        assert 0 < stream["median_ms"] <= stream["p95_ms"] <= stream["p99_ms"]
        assert stream["real_time_factor"] == pytest.approx(stream["median_ms"] / 4)
        assert file["real_time_factor"] == pytest.approx(file["seconds"])
    # ONNX Runtime and a model take some megabytes more than NumPy.
    assert result["bare_memory_bytes"] + 5e6 < result["memory_bytes"] < 1e9
    text = timing.to_text(result)
    assert "| budget | share of compute | MMAC/s | parameters | median ms | p95 ms | p99 ms | RTF |" in text
    assert "| budget | share of compute | MMAC/s | ms | RTF |" in text
    assert text.count("| 0.3 (fixed:0.25) | 0.250 |") == 2
    assert "(fixed:0.5)" not in text
    assert result["machine"]["cpu"] in text


def test_profile_of_what_decides(remembering: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "FILE_SECONDS", 1)
    result = timing.profile(str(remembering), 20)
    auto = next(level for level in result["levels"] if level["level"] == "budget auto")
    assert auto["runs"] is auto["parameters"] is None
    assert "\n| auto | 1.000 |" in timing.to_text(result)


@pytest.mark.parametrize("name", bundled_models())
def test_budgets_of_a_profile(name: str) -> None:
    card = open_artefact(name).card
    budgets = timing.profile_budgets(card)
    assert budgets[: len(card.levels)] == [f"fixed:{level.utilization:g}" for level in card.levels]
    assert ("auto" in budgets) == card.router
    numbers = [budget for budget in budgets if isinstance(budget, float)]
    assert numbers == [number for number in (0.3, 0.125) if number >= card.levels[0].utilization]
    for budget in budgets:
        parse_budget(card, budget)


def test_memory_is_the_processes_own(tiny: Path) -> None:
    held = np.ones(300_000_000, np.uint8)  # of this process, which is not to count
    assert timing._peak_memory("", str(tiny)) < len(held)


def test_bad_arguments(tiny: Path) -> None:
    with pytest.raises(InputError, match="--rounds: 0"):
        timing.profile(str(tiny), 0)
    with pytest.raises(InputError, match="unknown model 'none'"):
        timing.profile("none")
