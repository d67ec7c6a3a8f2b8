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
NOISY = {"pesq_wb": 1.0, "estoi": 0.1, "si_sdr": 0.0}


@pytest.fixture(scope="module")
def comparison(program: Callable[[str], ModuleType]) -> Any:
    return program("comparison")


def point(
    comparison: Any, model: str, budget: str, kind: str, mmacs: float, ms: float, *pesq: tuple[float, ...]
) -> Any:
    """Return a point with the PESQ of two files, for each seed."""
    seeds = {}
    for number, each in enumerate(pesq, start=1):
        values = np.array(each, float)
        seeds[f"seed-{number}"] = {"pesq_wb": values, "estoi": values / 10, "si_sdr": values * 2}
        seeds[f"seed-{number}"] |= {"snr_db": np.array([0.0, 20.0]), "utilization": np.array([1.0, 0.5])}
    return comparison.Point("a system", model, budget, kind, mmacs, seeds, ms)


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
    comparison.finish(points, [system])
    low, high, auto = points[2:]
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
    (found,) = comparison.differences_of(claims, points)
    assert found["pesq_wb"]["mean"] == pytest.approx(0.75)
    assert found["mmacs"] == [20, 10]
    assert found["pesq_by_snr"][0] == pytest.approx(1.0)
    assert math.isnan(found["pesq_by_snr"][1])


def pair_of(
    comparison: Any, of: tuple[tuple[float, ...], ...], against: tuple[tuple[float, ...], ...]
) -> Any:
    """Return the difference of two points that have these PESQ by seed, and the points."""
    points = [
        point(comparison, "of", "auto", "dynamic", 20, 0.15, *of),
        point(comparison, "against", "1", "static", 20, 0.15, *against),
    ]
    (found,) = comparison.differences_of([comparison.Pair("a claim", "of@auto", "against@0")], points)
    return found, points


@pytest.mark.parametrize(
    ("of", "mean", "verdict"),
    [
        (((2, 2), (1.5, 1.5)), 0.75, "decided"),
        (((0.5, 0.5), (0.9, 0.7)), -0.35, "decided"),
        (((3, 3), (0.9, 0.9)), 0.95, "open"),  # the seeds disagree
        (((2, 0.5), (2, 0.5)), 0.25, "open"),  # the files do
        (((2, 2), (1, 1)), 0.5, "open"),  # one seed has no difference
        (((2, 2),), 1.0, "open"),  # one seed
    ],
)
def test_a_difference_is_decided_where_files_and_all_of_two_seeds_agree(
    comparison: Any, of: tuple[tuple[float, ...], ...], mean: float, verdict: str
) -> None:
    found, points = pair_of(comparison, of, ((1, 1), (1, 1)))
    assert found["pesq_wb"]["mean"] == pytest.approx(mean)
    assert found["verdicts"] == dict.fromkeys(("pesq_wb", "estoi", "si_sdr"), verdict)
    alone = [found["seeds"][f"seed-{number}"]["pesq_wb"]["mean"] for number in range(1, len(of) + 1)]
    assert alone == pytest.approx([np.mean(each) - 1 for each in of])
    text = importlib.import_module("comparison_report").to_markdown(points, [found], NOISY, "2 files.")
    cells = [line.split(" | ") for line in text.splitlines()]
    (line,) = (number for number, each in enumerate(cells) if each[0] == "| a claim")
    assert cells[line][5].endswith(f"), {verdict}")
    assert cells[line + 1][0] == "| seed-1"
    assert cells[line + 1][5].startswith(f"{alone[0]:+.3f} (")


def test_only_seeds_that_both_sides_have_are_compared(comparison: Any) -> None:
    found, (of, against) = pair_of(comparison, ((2, 3), (9, 9)), ((1, 1),))
    assert found["pesq_wb"]["mean"] == pytest.approx(1.5)
    assert list(found["seeds"]) == ["seed-1"]
    comparison.finish([of, against], [comparison.System("a system", ("of",), ("against",))])
    assert of.gains["mmacs"]["pesq_wb"]["mean"] == pytest.approx(1.5)
    assert of.mean("pesq_wb") == pytest.approx(5.75)


def test_gains_are_of_the_mean_of_each_file_over_the_seeds(comparison: Any) -> None:
    _, (of, against) = pair_of(comparison, ((2, 3), (4, 3)), ((1, 2), (2, 1)))
    comparison.finish([of, against], [comparison.System("a system", ("of",), ("against",))])
    gain = of.gains["mmacs"]["pesq_wb"]
    # 1 and 2 of each seed in turn; the mean of both files is 1.5 in every seed together.
    assert (gain["mean"], gain["low"], gain["high"]) == pytest.approx((1.5, 1.5, 1.5))


def test_a_report_of_one_seed_has_no_verdicts(comparison: Any, points: list[Any]) -> None:
    claims = comparison.differences_of([comparison.Pair("one", "scalable@auto", "small@0")], points)
    text = importlib.import_module("comparison_report").to_markdown(points, claims, NOISY, "2 files.")
    assert "| one | scalable@auto | small@0 | 20.0 / 10.0 |" in text
    assert "open" not in text
    assert "seed" not in text


def test_the_report_names_the_best_within_a_budget(comparison: Any, points: list[Any]) -> None:
    report = importlib.import_module("comparison_report")
    text = report.to_markdown(points, [], NOISY, "2 files.")
    assert "| 10 | scalable at 0.5: 1.750 |" in text
    assert "| 20 | scalable at auto: 2.500 |" in text
    assert report.draw(points, NOISY).axes


@pytest.mark.parametrize("name", ["comparison.yaml", "comparison_40h.yaml"])
def test_every_run_that_is_compared_is_trained_by_the_sweep(name: str, tmp_path: Path) -> None:
    plan = yaml.safe_load((ROOT / "benchmarks" / name).read_text())
    runs = sweep.plan(ROOT / "src" / "sese" / "configs" / "sweeps" / name, tmp_path)
    named = {name for entry in plan["systems"].values() for models in entry.values() for name in models}
    named |= {side.partition("@")[0] for pairs in plan["claims"].values() for pair in pairs for side in pair}
    assert named <= {run.folder.parent.name for run in runs}
