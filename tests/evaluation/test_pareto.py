from __future__ import annotations

import csv
import io
import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from evaluation_signals import write_corpus
from typer.testing import CliRunner

from sese.cli.pareto import pareto
from sese.core.errors import InputError
from sese.evaluation import front, pareto_report, plots, report
from sese.evaluation.pairs import Pair, find_pairs
from sese.evaluation.pareto import compare, pareto_budgets, read_evaluation
from sese.evaluation.suite import evaluate

SWITCHING = "evaluation_signals:Switching"
app = typer.Typer()
app.command()(pareto)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("pareto") / "corpus")


@pytest.fixture(scope="module")
def pairs(corpus: Path) -> list[Pair]:
    return find_pairs(corpus)


@pytest.fixture(scope="module")
def result(pairs: list[Pair]) -> dict[str, Any]:
    return evaluate("mine", pairs, metrics=["stoi", "si_sdr"], jobs=1, enhancer=SWITCHING)


def test_front_leaves_out_what_another_beats() -> None:
    costs = [1.0, 2.0, 2.0, 3.0, 4.0, math.nan]
    scores = [5.0, 7.0, 6.0, 7.0, 8.0, 9.0]
    assert front.on_front(costs, scores).tolist() == [True, True, False, False, True, False]
    # Two equal points beat neither each other nor themselves.
    assert front.on_front([1.0, 1.0], [2.0, 2.0]).tolist() == [True, True]


def test_between_points_each_file_is_on_its_line() -> None:
    costs, scores = [1.0, 2.0, 4.0], [[0.0, 10.0], [1.0, 10.0], [5.0, 30.0]]
    for cost in (1.0, 1.5, 2.0, 3.0, 4.0, 9.0):
        expected = [np.interp(cost, costs, column) for column in np.transpose(scores)]
        assert front.between(costs, scores, cost) == pytest.approx(expected)
    assert front.between(costs, scores, 0.9) is None


def test_oracle_is_the_best_of_all_choices() -> None:
    """Against trying every assignment of levels to files: none is better at the oracle's cost or below."""
    generator = np.random.default_rng(3)
    costs = np.array([1.0, 2.0, 4.0])
    scores, weights = generator.normal(size=(3, 5)) + costs[:, None] / 3, np.ones(5)
    outcomes = front.oracle(costs, scores, weights)
    choices = [list(choice) for choice in itertools.product(range(3), repeat=5)]
    every = [(costs[choice].mean(), scores[choice, range(5)].mean()) for choice in choices]
    assert len(outcomes) > 3
    for outcome in outcomes:
        best = max(score for cost, score in every if cost <= outcome["cost"] + 1e-9)
        assert outcome["score"] == pytest.approx(best)
    assert outcomes[0]["cost"] == pytest.approx(1.0)
    assert outcomes[-1]["score"] == pytest.approx(scores.max(axis=0).mean())


def test_oracle_leaves_out_files_without_a_score() -> None:
    outcomes = front.oracle([1.0, 2.0], [[1.0, math.nan], [2.0, 5.0]], [1.0, 1.0])
    assert [(each["cost"], each["score"]) for each in outcomes] == [(1.0, 1.0), (2.0, 2.0)]
    assert front.oracle([1.0], [[1.0]], [1.0]) == []


def test_gain_is_the_height_over_the_line_of_the_levels(result: dict[str, Any]) -> None:
    comparison = compare([result])
    *static, routed = comparison["points"]
    assert [point["kind"] for point in comparison["points"]] == ["static"] * 3 + ["dynamic"]
    # The router costs 3.5 million MACs, between the levels of 1 and 4; the mean of paired differences is
    # the difference of the means.
    low, high = (point["mean"]["si_sdr"]["mean"] for point in static[:2])
    expected = routed["mean"]["si_sdr"]["mean"] - (low + (high - low) * 2.5 / 3)
    gain = routed["gain"]["si_sdr"]
    assert gain["mean"] == pytest.approx(expected, abs=1e-9)
    assert gain["low"] <= gain["mean"] <= gain["high"]
    # Files differ by tens of dB less than the levels of one file: pairing makes the interval narrow.
    spread = routed["mean"]["si_sdr"]
    assert gain["high"] - gain["low"] < spread["high"] - spread["low"]
    # It is better than the level of a half, for less.
    assert ["macs" in point["front"]["si_sdr"] for point in comparison["points"]] == [True, False, True, True]


def test_reports_stand_for_models(result: dict[str, Any], tmp_path: Path) -> None:
    report.write_report(result, tmp_path / "a")
    again = read_evaluation(str(tmp_path / "a"))
    assert compare([again])["points"] == compare([result])["points"]
    both = compare([again, result])
    assert both["models"] == ["mine", "mine (2)"]
    for bad in ("{", "[]", '{"levels": [], "files": []}'):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(InputError, match="no report"):
            read_evaluation(str(tmp_path / "bad.json"))


def test_only_like_is_compared_with_like(result: dict[str, Any], pairs: list[Pair]) -> None:
    other = evaluate("less", pairs[:2], metrics=["stoi"], jobs=1, enhancer=SWITCHING)
    with pytest.raises(InputError, match="less was evaluated on other files than mine"):
        compare([result, other])
    other = evaluate("less", pairs, metrics=["pesq"], jobs=1, enhancer=SWITCHING)
    with pytest.raises(InputError, match="no metric in common"):
        compare([result, other])


def test_written_forms_hold_the_points(result: dict[str, Any]) -> None:
    comparison = compare([result])
    rows = list(csv.DictReader(io.StringIO(pareto_report.to_csv(comparison))))
    auto = next(row for row in rows if row["level"] == "budget auto")
    assert float(auto["si_sdr_gain"]) == comparison["points"][-1]["gain"]["si_sdr"]["mean"]
    assert {row["kind"] for row in rows} == {"static", "dynamic", "oracle"}
    table = pareto_report.to_markdown(comparison)
    assert table.startswith("# Quality over compute: mine\n\n")
    assert "| model | level | share of compute | MMAC/s | RTF | STOI | SI-SDR (dB) |" in table
    assert "upper bound" in table
    page = pareto_report.to_html(comparison)
    assert page.count("data:image/svg+xml") == 2
    assert "http" not in page.replace("http-equiv", "")
    assert plots.to_png(plots.fronts(comparison), 40).startswith(b"\x89PNG")


def test_command_compares_models_and_reports(corpus: Path, tiny: Path, tmp_path: Path) -> None:
    options = ("--metrics", "stoi", "--limit", "2", "--budget", "0.5", "--budget", "1")
    run = CliRunner().invoke(app, [str(tiny), str(corpus), *options, "-o", str(tmp_path)])
    assert run.exit_code == 0, run.output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"evaluation_1.json", *(f"pareto.{end}" for end in ("json", "csv", "md", "html", "png"))}
    report_path = str(tmp_path / "evaluation_1.json")
    run = CliRunner().invoke(app, [report_path, str(tiny), str(corpus), *options, "--json"])
    comparison = json.loads(run.stdout)
    assert [point["level"] for point in comparison["points"]] == ["budget 0.5", "budget 1"] * 2
    for arguments in ([str(tiny)], [str(tiny), report_path]):
        error = CliRunner().invoke(app, arguments).exception
        assert isinstance(error, InputError)
        assert "last argument" in str(error)
    error = CliRunner().invoke(app, [report_path, report_path, "--limit", "1", "--jobs", "1"]).exception
    assert isinstance(error, InputError)
    assert "--limit, --jobs is for evaluating" in str(error)


def test_budgets_to_try() -> None:
    from evaluation_signals import Switching

    levels = ["fixed:0.25", "fixed:0.5", "fixed:1"]
    shifts = ["threshold:-6", "threshold:0", "threshold:6"]
    assert pareto_budgets(Switching.card) == [*levels, "auto", *shifts, "held:0.375", "held:0.75"]
    resting = SimpleNamespace(**vars(Switching.card) | {"rests": True})
    assert pareto_budgets(resting) == [*levels, "auto", *shifts, 0.375, 0.75]
