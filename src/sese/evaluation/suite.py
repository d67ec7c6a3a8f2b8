"""Evaluate an enhancer over a paired corpus, at every level, in parallel processes."""

from __future__ import annotations

import importlib
import importlib.metadata
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from sese.errors import InputError
from sese.evaluation import summary
from sese.evaluation.metrics import check_metrics, columns_of, describe_metrics, score
from sese.evaluation.pairs import SAMPLE_RATE, Pair, read_pair

ENHANCER = "sese.runtime.enhancer:Enhancer"
NOISY = "noisy"  # the name of the row that is the input itself

Progress = Callable[[int, int], None]


def evaluate(
    model: Any,
    pairs: Sequence[Pair],
    budgets: Sequence[float | str] | None = None,
    *,
    metrics: Iterable[str] | None = None,
    jobs: int | None = None,
    enhancer: str = ENHANCER,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score the noisy input and `model` at each budget, over `pairs`, at 16 kHz.

    Args:
        model: name, folder or `.onnx` path; handed to `enhancer`.
        pairs: from `sese.evaluation.pairs.find_pairs`.
        budgets: compute budgets in (0, 1], or "auto" for the model's router; None: the utilization of every
            level, and "auto" where there is a router.
        metrics: names in `sese.evaluation.metrics.METRICS`; None: all.
        jobs: processes; None: one per available core. 1 runs in this process. More than one starts new
            interpreters, so a script that calls this needs the `if __name__ == "__main__":` guard.
        enhancer: "module:attribute" of what makes an enhancer: called as `(model, budget=b)`, it returns
            an object with `enhance(audio [time], sample_rate) -> [time]`. A path, so that each process
            makes its own. With the `stream` and `card` of `sese.runtime.enhancer.Enhancer` it also tells
            what compute it used.
        progress: called with (files done, files in all).

    Returns:
        A plain dict: `levels` (the noisy input first; each with `mean` per column with interval,
        `improvement` over the noisy input paired by file, `by_input_snr`, `utilization`,
        `macs_per_second`, `real_time_factor`), `files` (one row per file and level), `failures` (scores
        that are not finite), and what was run: `model`, `metrics`, `versions`, ... The real-time factor
        is measured with `jobs` processes at work at once.

    Raises:
        InputError: no pairs, a bad budget, metric, file or model, or a missing package.
    """
    names = check_metrics(metrics)
    if not pairs:
        raise InputError("evaluation: no pairs of files given; see sese.evaluation.pairs.find_pairs")
    make = _resolve(enhancer)
    card = getattr(make(model, budget=1.0), "card", None)
    if not budgets:
        budgets = [level.utilization for level in card.levels] if card else [1.0]
        budgets += ["auto"] if card and card.router else []
    budgets = list({_label(budget): budget for budget in budgets}.values())
    for budget in budgets:  # here, so that a budget that the model lacks fails before any process starts
        make(model, budget=budget)

    scorer = (enhancer, model, budgets, names)
    per_file: list[dict[str, Any]] = []
    jobs = _job_count(jobs, len(pairs))
    for done, rows in enumerate(_parallel(_score_file, pairs, jobs, _start, scorer), start=1):
        per_file += rows
        if progress:
            progress(done, len(pairs))

    columns = columns_of(names)
    noisy = [row for row in per_file if row["level"] == NOISY]
    levels: list[dict[str, Any]] = []
    for asked in (None, *budgets):
        rows = [row for row in per_file if row["level"] == _label(asked)]
        level: dict[str, Any] = {"level": _label(asked), "budget": asked, **_compute(rows, card)}
        level["mean"] = summary.summarize(rows, columns)
        if asked is not None:
            level["improvement"] = summary.improvements(rows, noisy, columns)
        level["by_input_snr"] = summary.by_input_snr(rows, columns)
        levels.append(level)
    return {
        "model": str(model),
        "sample_rate": SAMPLE_RATE,
        "file_count": len(pairs),
        "audio_s": sum(row["audio_s"] for row in noisy),
        "jobs": jobs,
        "interval": summary.INTERVAL,
        "metrics": describe_metrics(names),
        "versions": _versions(),
        "levels": levels,
        "failures": summary.failures(per_file, columns),
        "files": per_file,
    }


def score_pairs(
    clean: Sequence[np.ndarray],
    estimates: Sequence[np.ndarray],
    sample_rate: int = SAMPLE_RATE,
    *,
    metrics: Iterable[str] | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Score estimates that are there already, for example those of a network in training.

    Args:
        clean: references, each [time].
        estimates: as many, each as long as its reference.
        sample_rate: in Hz; 16000 for `pesq` and `dnsmos`.
        metrics, jobs: as for `evaluate`.

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
    rows = list(_parallel(_score_task, tasks, _job_count(jobs, len(tasks))))
    return {"mean": summary.summarize(rows, columns_of(names)), "files": rows}


def _score_task(task: tuple[np.ndarray, np.ndarray, int, list[str]]) -> dict[str, float]:
    return score(*task)


class _Scorer:
    """What a process keeps between files: one enhancer per budget."""

    def __init__(self, enhancer: str, model: Any, budgets: Sequence[float | str], metrics: list[str]) -> None:
        make = _resolve(enhancer)
        self.enhancers = {budget: make(model, budget=budget) for budget in budgets}
        self.metrics = metrics
        for each in self.enhancers.values():  # the first call pays for set-up that is not the model's time
            _enhance(each, np.zeros(SAMPLE_RATE // 2, np.float32))

    def rows(self, pair: Pair) -> Iterator[dict[str, Any]]:
        """Of one file: the row of the noisy input, then one per budget."""
        clean, noisy = read_pair(pair)
        about = {"file": pair.name, "snr_db": pair.snr_db, "audio_s": len(noisy) / SAMPLE_RATE}
        nothing = {"utilization": None, "enhance_s": None}
        yield {**about, "level": NOISY, **nothing, **score(clean, noisy, SAMPLE_RATE, self.metrics)}
        for budget, enhancer in self.enhancers.items():
            start = time.perf_counter()
            # A copy, so that no enhancer can change what the next one hears.
            estimate, utilization = _enhance(enhancer, noisy.copy())
            spent = {"utilization": utilization, "enhance_s": time.perf_counter() - start}
            values = score(clean, estimate, SAMPLE_RATE, self.metrics)
            yield {**about, "level": _label(budget), **spent, **values}


def _enhance(enhancer: Any, noisy: np.ndarray) -> tuple[np.ndarray, float | None]:
    """The enhanced audio [time], and the utilization where the enhancer has streams that measure it."""
    if not hasattr(enhancer, "stream"):
        return enhancer.enhance(noisy, SAMPLE_RATE), None
    stream = enhancer.stream(SAMPLE_RATE)
    enhanced = np.concatenate([stream.feed(noisy), stream.flush()])
    return enhanced, stream.utilization


def _compute(rows: Sequence[dict[str, Any]], card: Any) -> dict[str, float | None]:
    """Means over audio time of what one level used; None where it is not known.

    MACs per second follow from the utilization along the line through the model's levels.
    """
    used: dict[str, float | None] = dict.fromkeys(("utilization", "macs_per_second", "real_time_factor"))
    seconds = [row["audio_s"] for row in rows]
    if rows[0]["enhance_s"] is not None:
        used["real_time_factor"] = sum(row["enhance_s"] for row in rows) / sum(seconds)
    if rows[0]["utilization"] is not None:
        mean = float(np.average([row["utilization"] for row in rows], weights=seconds))
        utilizations = [level.utilization for level in card.levels]
        macs = [level.macs_per_second for level in card.levels]
        used.update(utilization=mean, macs_per_second=float(np.interp(mean, utilizations, macs)))
    return used


_scorer: _Scorer | None = None  # one per process


def _start(*arguments: Any) -> None:
    global _scorer
    _scorer = _Scorer(*arguments)


def _score_file(pair: Pair) -> list[dict[str, Any]]:
    assert _scorer is not None  # `_start` ran in this process
    try:
        return list(_scorer.rows(pair))
    except InputError as error:
        # Metrics know shapes but not files.
        raise error if str(pair.noisy) in str(error) else InputError(f"{pair.noisy}: {error}") from None


def _parallel(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    jobs: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple = (),
) -> Iterator[Any]:
    """`function` of each task, in order, in `jobs` new processes (1: in this one)."""
    if jobs == 1:
        if initializer:
            initializer(*arguments)
        yield from map(function, tasks)
        return
    # Spawned, not forked: ONNX Runtime and PyTorch hold threads that do not survive a fork.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, initializer, arguments) as pool:
            yield from pool.map(function, tasks)
    except BrokenProcessPool:
        raise InputError(
            f"--jobs: one of {jobs} processes ended early (out of memory?); use fewer, or 1 to see why"
        ) from None


def _job_count(jobs: int | None, tasks: int) -> int:
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: {jobs} processes asked for; give 1 or more")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(jobs or available, tasks)


def _resolve(path: str) -> Callable[..., Any]:
    module, separator, attribute = path.partition(":")
    if not separator:
        raise InputError(f"enhancer: {path!r} is no path of the form module:attribute")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"enhancer: {path!r} cannot be imported ({error})") from error


def _label(budget: float | str | None) -> str:
    """The name of a row: its budget, or the input itself for None."""
    if budget is None:
        return NOISY
    return f"budget {budget}" if isinstance(budget, str) else f"budget {budget:g}"


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in ("sese", "numpy", "onnxruntime", "soxr")}
    return {"python": platform.python_version(), "machine": platform.machine(), **packages}
