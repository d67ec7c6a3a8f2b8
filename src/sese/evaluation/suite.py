"""Evaluate an enhancer over a paired corpus, at every level, in parallel processes."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from sese.core.errors import InputError
from sese.evaluation import conversations, scoring, summary
from sese.evaluation.metrics import check_metrics, columns_of, describe_metrics, score
from sese.evaluation.pairs import SAMPLE_RATE, Pair
from sese.evaluation.parallel import job_count, parallel
from sese.evaluation.results import Compute, Evaluation, FileRow, LevelResult, PairScores, Unread
from sese.evaluation.scoring import ENHANCER, NOISY, Budget, label

Progress = Callable[[int, int], None]


def evaluate(
    model: Any,
    pairs: Sequence[Pair],
    budgets: Sequence[Budget] | None = None,
    *,
    metrics: Iterable[str] | None = None,
    jobs: int | None = None,
    enhancer: str = ENHANCER,
    progress: Progress | None = None,
) -> Evaluation:
    """Score the noisy input and `model` at each budget, over `pairs`, at 16 kHz.

    Args:
        model: name, folder or `.onnx` path; handed to `enhancer`.
        pairs: pairs of `sese.evaluation.pairs.find_pairs`.
        budgets: budgets that `enhancer` takes; for `sese.runtime.enhancer.Enhancer` see there. None:
            `default_budgets`.
        metrics: names in `sese.evaluation.metrics.METRICS`; None: all. Of conversations, pairs with an
            activity, `sese.evaluation.conversations.COLUMNS` come with them.
        jobs: processes; None: one per available core. 1 runs in this process. More than one starts new
            interpreters, so a script that calls this needs the `if __name__ == "__main__":` guard.
        enhancer: "module:attribute" of what makes an enhancer: called as `(model, budget=b)`, it returns
            an object with `enhance(audio [time], sample_rate) -> [time]`. A path, so that each process
            makes its own. With the `stream` and `card` of `sese.runtime.enhancer.Enhancer` it also tells
            what compute it used.
        progress: called with (files done, files in all).

    Returns:
        The scores of the noisy input and of each level, by file and in the mean; see `Evaluation`.
        Recordings without a clean side that cannot be read are in its `unread`.

    Raises:
        InputError: no pairs, a bad budget, metric, file of a pair or model, no recording that can be read,
            or a missing package.

    Example:
        Evaluate the default model at its lowest level and print the table::

            pairs = find_pairs("testset", limit=20)
            result = evaluate("sese-2", pairs, [0.1], metrics=["pesq", "si_sdr"])
            print(report.to_markdown(result))
    """
    if not pairs:
        raise InputError("evaluation: no pairs of files given; see sese.evaluation.pairs.find_pairs")
    make = scoring.resolve(enhancer)
    card = getattr(make(model, budget=1.0), "card", None)
    names = check_metrics(metrics)
    budgets = list({label(budget): budget for budget in budgets or default_budgets(card)}.values())
    # Here, so that a budget that the model lacks fails before any process starts.
    dynamic = {label(None): False} | {
        label(each): _is_dynamic(make(model, budget=each), each) for each in budgets
    }

    arguments = (enhancer, model, budgets, names)
    per_file: list[FileRow] = []
    unread: list[Unread] = []
    jobs = job_count(jobs, len(pairs))
    results = parallel(scoring.score_file, pairs, jobs, scoring.start, arguments)
    for done, (pair, rows) in enumerate(zip(pairs, results, strict=True), start=1):
        if isinstance(rows, InputError):
            unread.append({"file": pair.name, "error": str(rows)})
        else:
            per_file += rows
        if progress:
            progress(done, len(pairs))
    if not per_file:
        more = f" (and {len(unread) - 1} more cannot be scored)" if unread[1:] else ""
        raise InputError(unread[0]["error"] + more)

    columns, metrics_about = columns_of(names), describe_metrics(names)
    if all(pair.activity is not None for pair in pairs):
        columns += conversations.COLUMNS
        metrics_about["conversation"] = {
            "columns": list(conversations.COLUMNS),
            "definition": conversations.DEFINITION,
            "package": "sese",
            "version": importlib.metadata.version("sese"),
        }
    noisy = [row for row in per_file if row["level"] == NOISY]
    levels = [_level(each, dynamic[label(each)], per_file, noisy, columns) for each in (None, *budgets)]
    return {
        "model": str(model),
        "sample_rate": SAMPLE_RATE,
        "file_count": len(noisy),
        "audio_s": sum(row["audio_s"] for row in noisy),
        "jobs": jobs,
        "interval": summary.INTERVAL,
        "metrics": metrics_about,
        "versions": _versions(),
        "levels": levels,
        "failures": summary.failures(per_file, columns),
        "unread": unread,
        "files": per_file,
    }


def _level(
    budget: Budget | None,
    dynamic: bool,
    files: Sequence[FileRow],
    noisy: Sequence[FileRow],
    columns: list[str],
) -> LevelResult:
    """Return the result of one level from the rows of all levels; None stands for the noisy input."""
    rows = [row for row in files if row["level"] == label(budget)]
    level: LevelResult = {
        "level": label(budget),
        "budget": budget,
        "dynamic": dynamic,
        **_compute(rows),
        "mean": summary.summarize(rows, columns),
        "by_input_snr": summary.by_input_snr(rows, columns),
    }
    if budget is not None:
        level["improvement"] = summary.improvements(rows, noisy, columns)
    return level


def _is_dynamic(enhancer: Any, budget: Budget) -> bool:
    """Return whether the level is decided frame by frame, by a rule or by the model."""
    if isinstance(budget, str):
        return not budget.startswith("fixed:")
    return hasattr(enhancer, "stream") and getattr(enhancer.stream(SAMPLE_RATE), "routed", False)


def default_budgets(card: Any) -> list[Budget]:
    """Return every level of a model with this card, and its router if it has one; 1 without a card."""
    if card is None:
        return [1.0]
    names = [f"{level.utilization:g}" for level in card.levels]
    if getattr(card, "alternatives", False):
        names = [str(number) for number in range(1, len(card.levels) + 1)]
    return [*(f"fixed:{name}" for name in names), *(["auto"] if card.router else [])]


def score_pairs(
    clean: Sequence[np.ndarray],
    estimates: Sequence[np.ndarray],
    sample_rate: int = SAMPLE_RATE,
    *,
    metrics: Iterable[str] | None = None,
    jobs: int = 1,
) -> PairScores:
    """Score estimates that are there already, for example those of a network in training.

    Args:
        clean: references, each [time].
        estimates: one for each reference, and as long as it.
        sample_rate: sample rate in Hz; 16000 for `pesq` and `dnsmos`.
        metrics, jobs: same as in `evaluate`.

    Returns:
        `mean` (per column with interval and count of failures) and `files` (one dict of columns each).

    Raises:
        InputError: the lists or a pair differ in length, a bad metric or rate, or a missing package.
    """
    names = check_metrics(metrics)
    if not clean or len(clean) != len(estimates):
        raise InputError(
            f"score_pairs: {len(clean)} references and {len(estimates)} estimates; give as many of each"
        )
    tasks = [
        (reference, estimate, sample_rate, names)
        for reference, estimate in zip(clean, estimates, strict=True)
    ]
    rows = list(parallel(_score_task, tasks, job_count(jobs, len(tasks))))
    return {"mean": summary.summarize(rows, columns_of(names)), "files": rows}


def _score_task(task: tuple[np.ndarray, np.ndarray, int, list[str]]) -> dict[str, float]:
    return score(*task)


def _compute(rows: Sequence[FileRow]) -> Compute:
    """Return means over audio time of the compute of one level; None where it is not known."""
    seconds = [row["audio_s"] for row in rows]
    spent = [row["enhance_s"] for row in rows]

    def mean(name: str) -> float | None:
        values = [row[name] for row in rows]
        return None if values[0] is None else float(np.average(values, weights=seconds))

    return {
        "utilization": mean("utilization"),
        "macs_per_second": mean("macs_per_second"),
        "real_time_factor": None if spent[0] is None else sum(spent) / sum(seconds),
    }


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in ("sese", "numpy", "onnxruntime", "soxr")}
    return {"python": platform.python_version(), "machine": platform.machine(), **packages}
