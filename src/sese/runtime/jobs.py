"""Enhancing many files, in parallel, and what became of each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sese.errors import InputError
from sese.runtime.budget import Budget
from sese.runtime.enhancer import Enhancer
from sese.runtime.file import Report, require_separate
from sese.runtime.inputs import Job


@dataclass(frozen=True)
class Settings:
    """How to enhance, the same for all files; `trace` is for one. See `sese.runtime.enhancer.Enhancer`."""

    model: str | None = None
    budget: Budget = 1.0
    mix: float = 1.0
    max_attenuation_db: float | None = None
    force: bool = False
    max_mmacs: float | None = None
    max_rtf: float | None = None
    trace: Path | None = None

    def open(self) -> Enhancer:
        """Open the model, with its budget and limits."""
        return Enhancer(self.model, self.budget, max_mmacs=self.max_mmacs, max_rtf=self.max_rtf)


@dataclass(frozen=True)
class Outcome:
    """What became of a job: "done" has a report, "failed" an error, "skipped" had its output already."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    report: Report | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        facts = {"input": str(self.job.source), "output": str(self.job.target), "status": self.status}
        return facts | {"error": self.error} | (asdict(self.report) if self.report else {})


def run_jobs(
    jobs: Sequence[Job],
    settings: Settings,
    workers: int | None = None,
    progress: Callable[[float], object] | None = None,
) -> Iterator[Outcome]:
    """Do jobs and yield the outcome of each as it is ready, in any order.

    A job that fails does not stop the others. Closing the iterator, or an interrupt, stops everything and
    leaves no half-written output.

    Args:
        jobs: From `sese.runtime.inputs.plan_jobs`.
        settings: How to enhance.
        workers: Processes to use, one thread each; None for one per core.
        progress: Called with the seconds of audio read of the current file, when no processes are used.

    Raises:
        InputError: The settings cannot be used with any file.
    """
    if workers is not None and workers < 1:
        raise InputError(f"jobs is {workers}; give a number of processes from 1 up")
    if settings.trace is not None and len(jobs) != 1:
        raise InputError(f"--trace {settings.trace} names one file, but there are {len(jobs)}; enhance one")
    enhancer = settings.open()
    enhancer.stream(
        mix=settings.mix, max_attenuation_db=settings.max_attenuation_db
    )  # fail now, not in each file
    pending = []
    for job in jobs:
        if job.error is not None:
            yield Outcome(job, "failed", error=job.error)
        elif job.target.exists() and not settings.force and job.target.resolve() != job.source.resolve():
            yield Outcome(job, "skipped")
        else:
            pending.append(job)
    workers = min(workers or available_cores(), len(pending))
    if workers > 1:
        yield from _in_parallel(pending, settings, workers)
    else:
        for job in pending:
            yield _enhance(enhancer, job, settings, progress)


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stop_when_told() -> None:
    """Answer SIGTERM as an interrupt is answered: clean up, then exit with code 143."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # being told again is not to disturb the cleaning up
        sys.exit(143)

    signal.signal(signal.SIGTERM, stop)


def _enhance(
    enhancer: Enhancer, job: Job, settings: Settings, progress: Callable[[float], object] | None = None
) -> Outcome:
    try:
        require_separate(job.source, job.target)
        report = enhancer.enhance_file(
            job.source,
            job.target,
            mix=settings.mix,
            max_attenuation_db=settings.max_attenuation_db,
            trace=settings.trace,
            force=settings.force,
            progress=progress,
        )
    except InputError as error:
        return Outcome(job, "failed", error=str(error))
    return Outcome(job, "done", report)


def _in_parallel(jobs: Sequence[Job], settings: Settings, workers: int) -> Iterator[Outcome]:
    strangers = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(settings,)
    )
    try:
        with _InterruptsHeld():  # workers are started here, and inherit that they are not interrupted
            futures = {pool.submit(_work, job): job for job in jobs}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor:
                job = futures[future]
                error = f"{job.source} was not enhanced: a worker died (out of memory?); use fewer --jobs"
                yield Outcome(job, "failed", error=error)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - strangers:
            process.terminate()
        raise
    finally:
        pool.shutdown()


class _InterruptsHeld:
    """A context in which Ctrl-C waits, also for the processes that are started in it, for all their life."""

    def __enter__(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


@dataclass
class _Worker:
    """What a worker process knows."""

    enhancer: Enhancer
    settings: Settings
    busy: bool = False
    told_to_stop: bool = False

    def stop(self, *_: object) -> None:
        """Answer SIGTERM: now if idle, else between two blocks, where nothing is half done."""
        self.told_to_stop = True
        if not self.busy:
            os._exit(143)

    def stop_if_told(self, _: float) -> None:
        if self.told_to_stop:
            sys.exit(143)


_worker: _Worker  # of a worker process


def _start_worker(settings: Settings) -> None:
    """Open the model, and see to it that the worker ends with its parent and leaves no half-written file."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and sends SIGTERM
    _worker = _Worker(settings.open(), settings)
    signal.signal(signal.SIGTERM, _worker.stop)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _work(job: Job) -> Outcome:
    _worker.busy = True
    try:
        return _enhance(_worker.enhancer, job, _worker.settings, _worker.stop_if_told)
    except Exception as error:
        return Outcome(job, "failed", error=f"{job.source} was not enhanced: {type(error).__name__}: {error}")
    finally:
        _worker.busy = False
        if _worker.told_to_stop:  # leave here: the pool would go on with the next job
            os._exit(143)
