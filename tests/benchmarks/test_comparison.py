"""Tests of benchmarks/comparison.py on known scores."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from sese.training import sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def comparison(program: Callable[[str], ModuleType]) -> Any:
    return program("comparison")


def point(comparison: Any, model: str, budget: str, kind: str, mmacs: float, ms: float, pesq: tuple) -> Any:
    values = np.array(pesq, float)
    scores = {"pesq_wb": values, "estoi": values / 10, "si_sdr": values * 2}
    scores |= {"snr_db": np.array([0.0, 20.0]), "utilization": np.array([1.0, 0.5])}
    return comparison.Point("a system", model, budget, kind, mmacs, scores, ms)


@pytest.fixture
def points(comparison: Any) -> list[Any]:
    return [
        point(comparison, "small", "1.0", "static", 10, 0.1, (1, 2)),
        point(comparison, "large", "1.0", "static", 30, 0.2, (2, 4)),
        point(comparison, "scalable", "0.5", "level", 10, 0.3, (1, 2.5)),
        point(comparison, "scalable", "1.0", "level", 40, 0.4, (2, 4)),
        point(comparison, "scalable", "auto", "dynamic", 20, 0.15, (2, 3)),
    ]


def test_a_scalable_model_is_held_against_the_line_through_its_statics(
    comparison: Any, points: list[Any]
) -> None:
    system = comparison.System("a system", ("scalable",), ("small", "large"))
    times = [{(p.model, p.budget): p.ms + late for p in points} for late in (0.0, 0.5, 0.0)]
    comparison.finish(points, [system], times)
    low, high, auto = points[2:]
    assert auto.ms == pytest.approx(0.15)
    assert auto.saved == {"mmacs": pytest.approx(0.5), "ms": pytest.approx(1 - 0.15 / 0.4)}
    assert high.saved == {}
    # Half-way between (1, 2) and (2, 4) lies (1.5, 3), in MACs and in time.
    assert auto.gains["mmacs"]["pesq_wb"]["mean"] == pytest.approx(0.25)
    assert auto.gains["ms"]["pesq_wb"]["mean"] == pytest.approx(0.25)
    # A third of the way from (1, 2.5) to (2, 4), its own levels, lies (4/3, 3).
    assert auto.gains["levels"]["pesq_wb"]["mean"] == pytest.approx(1 / 3)
    assert "levels" not in low.gains
    assert low.gains["mmacs"]["pesq_wb"]["mean"] == pytest.approx(0.25)
    assert low.gains["ms"]["pesq_wb"]["mean"] == pytest.approx(-1.25)  # the large one is quicker, and better


def test_claims_pair_files(comparison: Any, points: list[Any]) -> None:
    claims = [
        comparison.Pair("one", "scalable@auto", "scalable@0"),
        comparison.Pair("two", "nobody@0", "small@0"),
    ]
    (found,) = comparison.differences(claims, points)
    assert found["pesq_wb"]["mean"] == pytest.approx(0.75)
    assert found["mmacs"] == [20, 10]
    assert found["pesq_by_snr"][0] == pytest.approx(1.0)
    assert math.isnan(found["pesq_by_snr"][1])


def test_the_report_names_the_best_within_a_budget(comparison: Any, points: list[Any]) -> None:
    report = importlib.import_module("comparison_report")
    text = report.to_markdown(points, [], {"pesq_wb": 1.0, "estoi": 0.1, "si_sdr": 0.0}, "2 files.")
    assert "| 10 | scalable at 0.5: 1.750 |" in text
    assert "| 20 | scalable at auto: 2.500 |" in text
    assert report.draw(points, {"pesq_wb": 1.0, "si_sdr": 0.0}).axes


def test_every_run_that_is_compared_is_trained_by_the_sweep(tmp_path: Path) -> None:
    plan = yaml.safe_load((ROOT / "benchmarks" / "comparison.yaml").read_text())
    runs = sweep.plan(ROOT / "src" / "sese" / "configs" / "sweeps" / "comparison.yaml", tmp_path)
    named = {name for entry in plan["systems"].values() for models in entry.values() for name in models}
    named |= {side.partition("@")[0] for pairs in plan["claims"].values() for pair in pairs for side in pair}
    assert named <= {run.folder.parent.name for run in runs}
