"""Tests of the sentences in reports; few files give few tables."""

from __future__ import annotations

from typing import Any

import pytest

from sese.evaluation import pareto_report, plots, report, verdict


def mean(value: float, spread: float = 0.1) -> dict[str, float]:
    return {"mean": value, "low": value - spread, "high": value + spread, "count": 40, "failures": 0}


def level(
    name: str, share: float | None, pesq: float, gain: float | None, spread: float = 0.1
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "level": name,
        "budget": name,
        "dynamic": name == "budget auto",
        "utilization": share,
        "macs_per_second": None if share is None else 1e8 * share,
        "real_time_factor": share,
        "mean": {"stoi": mean(0.8), "pesq_wb": mean(pesq)},
        "by_input_snr": [],
    }
    if gain is not None:
        made["improvement"] = {"stoi": mean(0.1), "pesq_wb": mean(gain, spread)}
    return made


def evaluation(*levels: dict[str, Any], files: int = 40) -> Any:
    return {
        "model": "runs/mine",
        "sample_rate": 16000,
        "file_count": files,
        "audio_s": 120.0,
        "jobs": 1,
        "interval": "an interval",
        "metrics": {},
        "versions": {},
        "levels": [level("noisy", None, 1.4, None), *levels],
        "failures": [],
        "files": [],
    }


def test_a_gain_is_told_with_its_interval_and_what_the_lowest_level_keeps() -> None:
    low, high = level("fixed:0.06", 0.0625, 1.7, 0.3), level("fixed:1", 1.0, 2.0, 0.6)
    assert verdict.of_evaluation(evaluation(low, high)) == (
        "With 100% of the compute (fixed:1) PESQ-WB rises from 1.40 to 2.00 (+0.60, "
        "95% interval +0.50 to +0.70); with 6% of the compute (fixed:0.06) the gain is +0.30."
    )
    assert verdict.of_evaluation(evaluation(high, files=4)).endswith(
        "4 files are too few to tell small differences."
    )


def test_no_gain_is_no_gain() -> None:
    unsure = evaluation(level("fixed:1", 1.0, 1.45, 0.05))
    assert verdict.of_evaluation(unsure).startswith("PESQ-WB does not change measurably")
    worse = evaluation(level("fixed:0.5", 0.5, 1.0, -0.4), level("fixed:1", 1.0, 1.2, -0.2))
    assert verdict.of_evaluation(worse).startswith(
        "Every level lowers PESQ-WB; least with 100% of the compute (fixed:1), from 1.40 to 1.20 (-0.20"
    )
    nothing = evaluation(level("fixed:1", 1.0, float("nan"), float("nan")))
    assert verdict.of_evaluation(nothing) == "No level has a finite PESQ-WB."


def test_a_model_whose_compute_is_not_known_has_a_verdict() -> None:
    unknown = evaluation(level("budget 1", None, 2.0, 0.6))
    assert verdict.of_evaluation(unknown).startswith("At budget 1 PESQ-WB")


def test_the_main_column_is_one_that_rises() -> None:
    assert verdict.main_column(["stoi", "si_sdr", "pesq_wb"]) == "pesq_wb"
    assert verdict.main_column(["pause_dbfs", "stoi"]) == "stoi"
    assert verdict.main_column(["pause_dbfs"]) == "pause_dbfs"


def with_snr(files: int) -> Any:
    made = evaluation(level("fixed:1", 1.0, 2.0, 0.6))
    for each in made["levels"]:
        means = {"stoi": 0.8, "pesq_wb": 1.5}
        each["by_input_snr"] = [
            {"snr_db": snr, "width_db": 5.0, "files": files, "mean": means} for snr in (0.0, 5.0)
        ]
    return made


def test_few_files_give_few_tables() -> None:
    few, many = (report.to_markdown(with_snr(files)) for files in (2, 20))
    assert few.count("| level |") == 1
    assert many.count("| level |") == 3
    assert "PESQ-WB by input SNR" in many


def test_a_report_has_a_title_a_verdict_and_shares_of_compute() -> None:
    high, low = level("fixed:1", 1.0, 2.0, 0.6), level("fixed:0.06", 0.0625, 1.5, 0.1)
    text = report.to_markdown(evaluation(high, low))
    title, _, said, _, header = text.splitlines()[:5]
    assert title == "# Evaluation of runs/mine"
    assert said.startswith("With 100% of the compute")
    assert header.startswith("| level | share of compute | MMAC/s | RTF |")
    assert "| fixed:0.06 | 6.25% | 6.2 | 0.062 |" in text


def point(model: str, cost: float, pesq: float, front: bool, kind: str = "static") -> dict[str, Any]:
    made: dict[str, Any] = {
        "model": model,
        "kind": kind,
        "level": "budget auto" if kind == "dynamic" else f"budget fixed:{cost:g}",
        "budget": "auto" if kind == "dynamic" else f"fixed:{cost:g}",
        "utilization": 1.0,
        "macs_per_second": 1e6 * cost,
        "real_time_factor": 0.1,
        "mean": {"pesq_wb": mean(pesq)},
        "front": {"pesq_wb": ["macs"] if front else []},
    }
    if kind == "dynamic":
        made["gain"] = {"pesq_wb": mean(0.05, 0.02)}
    return made


def comparison(*points: dict[str, Any], models: int = 2) -> Any:
    return {
        "models": [f"model-{number}" for number in range(models)],
        "columns": ["pesq_wb"],
        "file_count": 40,
        "audio_s": 120.0,
        "interval": "an interval",
        "metrics": {},
        "jobs": [1],
        "noisy": {"pesq_wb": mean(1.4)},
        "points": list(points),
        "oracle": [],
    }


def test_a_comparison_names_the_front_and_what_policies_gain() -> None:
    made = comparison(
        point("a", 30, 1.6, True),
        point("b", 60, 1.7, True),
        point("b", 250, 1.9, True),
        point("b", 150, 1.85, True, "dynamic"),
        point("a", 200, 1.65, False),
    )
    assert verdict.of_comparison(made) == (
        "b reaches the highest PESQ-WB: 1.90, at 250.0 MMAC/s. The front over compute: a at 30.0 MMAC/s, "
        "then b at 60.0 to 250.0 MMAC/s. Deciding frame by frame gains over fixed levels of the same "
        "compute: at best +0.05, 95% interval +0.03 to +0.07, b at budget auto."
    )
    assert pareto_report.to_markdown(made).startswith("# Quality over compute: model-0, model-1\n\nb reaches")


@pytest.mark.parametrize("models", [1, 3, 12])
def test_the_legend_is_smaller_than_the_plot(models: int) -> None:
    pytest.importorskip("matplotlib")
    made = comparison(models=models)
    made["models"] = [f"a/folder/with/a/long/name/of/a/model-{number}" for number in range(models)]
    made["points"] = [
        each
        for model in made["models"]
        for each in (point(model, 30, 1.5, True), point(model, 90, 1.8, True, "dynamic"))
    ]
    sheet = plots.fronts(made, ["macs"])
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(sheet)
    canvas.draw()  # which lays it out
    renderer = canvas.get_renderer()
    legend = sheet.legends[0].get_window_extent(renderer)
    panel = sheet.axes[0].get_window_extent(renderer)
    assert legend.height * legend.width < panel.height * panel.width
    assert legend.height < panel.height
    assert legend.x0 >= 0
    assert legend.x1 <= sheet.bbox.x1


def test_the_page_sorts_and_has_a_dark_side() -> None:
    made = comparison(point("a", 30, 1.6, True), point("b", 60, 1.7, True))
    page = pareto_report.to_html(made)
    assert "<title>Quality over compute: model-0, model-1</title>" in page
    assert '<p class="verdict">b reaches' in page
    assert "prefers-color-scheme: dark" in page
    assert page.count('<th scope="col"><button>') == 6
    assert "aria-sort" in page
