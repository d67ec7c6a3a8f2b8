"""Enhance many files in parallel, and report the outcome of each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sese.core.errors import InputError
from sese.core.files import is_null_device
from sese.core.processors import available_cores
from sese.core.stopping import InterruptsHeld, follow_parent
from sese.folders.inputs import Job
from sese.folders.job import Outcome, RunOptions, enhance_job
from sese.folders.manifest import Manifest, settings_row
from sese.folders.places import Place, lister
from sese.runtime.artefact import Artefact
from sese.runtime.file import require_separate


def run_jobs(
    jobs: Sequence[Job],
    options: RunOptions,
    workers: int | None = None,
    progress: Callable[[float], object] | None = None,
    *,
    manifest: Path | None = None,
    ray: str | None = None,
    tell: Callable[[str], object] | None = None,
) -> Iterator[Outcome]:
    """Do jobs and yield the outcome of each as it is ready, in any order.

    A job that fails does not stop the others. Closing the iterator, or an interrupt, stops everything and
    leaves no half-written output.

    Args:
        jobs: Jobs from `sese.folders.inputs.plan_jobs`.
        options: How to enhance, the same for all files.
        workers: Number of processes, of one thread each; None for one per core.
        progress: Called with the seconds of audio read of the current file, where no processes are used.
        manifest: File for a row of each outcome, read first if it exists, see `sese.folders.manifest`; None
            for none.
        ray: Address of a Ray cluster that does the work, see `sese.folders.cluster`; None for this machine.
        tell: Called with each line that the user should know.

    Raises:
        InputError: The options cannot be used with any file, or the manifest or the cluster cannot be used.
    """
    if workers is not None and workers < 1:
        raise InputError(f"jobs is {workers}; give a number of processes, 1 or more")
    if options.trace is not None and len(jobs) != 1:
        raise InputError(f"--trace {options.trace} names one file, but there are {len(jobs)}; enhance one")
    if options.trace is not None and ray is not None:
        raise InputError(f"--trace {options.trace} is written on this machine; leave out --ray")
    if manifest is not None:
        _require_apart(manifest, jobs, options)
    artefact = options.open()  # options that no file can use are refused here
    with Manifest(manifest) if manifest else nullcontext() as record:
        facts = settings_row(options.enhance, artefact) if record else {}
        taken = lister()
        if record:
            if record.torn and tell:
                tell(f"manifest {record.path}: {_torn_lines(record.torn)} passed over")
            _refuse_other_settings(record, [job for job in jobs if _finished(job, options, taken)], facts)
        run = _Run(options, artefact, workers, progress, ray, tell)
        for outcome in _outcomes(jobs, run, taken):
            if record:
                record.add(outcome, facts)
            yield outcome


@dataclass(frozen=True)
class _Run:
    """Values that all jobs of a run share; see `run_jobs`."""

    options: RunOptions
    artefact: Artefact
    workers: int | None
    progress: Callable[[float], object] | None
    ray: str | None
    tell: Callable[[str], object] | None


def _require_apart(manifest: Path, jobs: Sequence[Job], options: RunOptions) -> None:
    """Refuse a manifest that is the trace, an input or an output."""
    if options.trace is not None:
        require_separate(options.trace, manifest, "manifest", "trace")
    for job in jobs:
        for of, place in (("input", job.source), ("output", job.target)):
            if isinstance(place, Path) and place.name == manifest.name:
                require_separate(place, manifest, "manifest", of)


def planned_outcomes(jobs: Sequence[Job], options: RunOptions) -> Iterator[Outcome]:
    """Yield what would become of each job: "planned", "skipped" or "failed". Nothing is written.

    Raises:
        InputError: The options cannot be used with any file.
    """
    options.open()
    taken = lister()
    for job in jobs:
        if job.error is None and isinstance(job.source, Path) and not job.source.exists():
            yield Outcome(job, "failed", error=f"{job.source} does not exist; check the name")
        elif job.error is not None:
            yield Outcome(job, "failed", error=job.error)
        else:
            yield Outcome(job, "skipped" if _finished(job, options, taken) else "planned")


def _finished(job: Job, options: RunOptions, taken: Callable[[Place], bool]) -> bool:
    """Return whether a job's output exists, and is not to be replaced."""
    if job.error is not None or options.force or is_null_device(job.target):
        return False
    return taken(job.target)


def _torn_lines(count: int) -> str:
    return "1 line was torn and is" if count == 1 else f"{count} lines were torn and are"


def _refuse_other_settings(manifest: Manifest, finished: Sequence[Job], facts: dict[str, Any]) -> None:
    """Refuse a run whose finished outputs were made with other settings, as they would stay as they are."""
    for name, (count, before) in manifest.changed(finished, facts).items():
        outputs = "1 finished output was" if count == 1 else f"{count} finished outputs were"
        raise InputError(
            f"{outputs} made with {name} {before}, not {facts[name]}, such as {finished[0].target}; replace "
            f"{'it' if count == 1 else 'them'} with --force, or choose another output with --out-dir or -o"
        )


def _outcomes(jobs: Sequence[Job], run: _Run, taken: Callable[[Place], bool]) -> Iterator[Outcome]:
    pending = []
    for job in jobs:
        if job.error is not None:
            yield Outcome(job, "failed", error=job.error)
        elif _finished(job, run.options, taken):
            yield Outcome(job, "skipped")
        else:
            pending.append(job)
    if run.ray is not None:
        from sese.folders.cluster import run_on_ray

        if pending:
            model = run.artefact.path
            yield from run_on_ray(pending, run.options, model, run.workers, run.ray, run.tell)
        return
    workers = min(run.workers or available_cores(), len(pending))
    if workers > 1:
        yield from _in_parallel(pending, run.options, workers)
    else:
        for job in pending:
            yield enhance_job(run.artefact, job, run.options, run.progress)


def _in_parallel(jobs: Sequence[Job], options: RunOptions, workers: int) -> Iterator[Outcome]:
    """Do jobs in processes. A worker that dies loses the jobs that it had; the others continue."""
    waiting = deque(jobs)
    while waiting:
        yield from _in_a_pool(waiting, options, min(workers, len(waiting)))


def _in_a_pool(waiting: deque[Job], options: RunOptions, workers: int) -> Iterator[Outcome]:
    """Take jobs from `waiting` and do them until none is left or a worker dies."""
    strangers = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(options,)
    )
    in_hand: dict[Future[Outcome], Job] = {}
    broken = False
    try:
        while (waiting and not broken) or in_hand:
            with InterruptsHeld():  # workers start here, and inherit that Ctrl-C does not interrupt them
                while waiting and not broken and len(in_hand) < workers + 1:  # one more: none waits
                    job = waiting.popleft()
                    try:
                        in_hand[pool.submit(_work, job)] = job
                    except BrokenExecutor:
                        waiting.appendleft(job)
                        broken = True
            for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                job = in_hand.pop(future)
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    broken = True
                    error = f"{job.source} was not enhanced: a worker died (out of memory?); use fewer --jobs"
                    outcome = Outcome(job, "failed", error=error)
                yield outcome
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - strangers:
            process.terminate()
        raise
    finally:
        pool.shutdown()


@dataclass
class _Worker:
    """State of a worker process."""

    artefact: Artefact
    options: RunOptions
    busy: bool = False
    stopping: bool = False

    def stop(self, *_: object) -> None:
        """Answer SIGTERM: at once if idle, else between two blocks, where nothing is half done."""
        self.stopping = True
        if not self.busy:
            os._exit(143)

    def stop_if_asked(self, _: float) -> None:
        if self.stopping:
            sys.exit(143)


_worker: _Worker  # only in a worker process


def _start_worker(options: RunOptions) -> None:
    """Open the model, and let the worker end with its parent and leave no half-written file."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives Ctrl-C and sends SIGTERM
    _worker = _Worker(options.open(), options)
    signal.signal(signal.SIGTERM, _worker.stop)
    follow_parent()


def _work(job: Job) -> Outcome:
    _worker.busy = True
    try:
        return enhance_job(_worker.artefact, job, _worker.options, _worker.stop_if_asked)
    except Exception as error:
        return Outcome(job, "failed", error=f"{job.source} was not enhanced: {type(error).__name__}: {error}")
    finally:
        _worker.busy = False
        if _worker.stopping:  # leave here: the pool would continue with the next job
            os._exit(143)
