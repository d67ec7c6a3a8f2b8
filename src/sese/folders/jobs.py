"""Enhancing many files, in parallel, and what became of each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from sese.core.errors import InputError
from sese.core.stopping import InterruptsHeld, follow_parent
from sese.folders.inputs import Job
from sese.folders.manifest import Manifest, settings_row
from sese.folders.places import Place, deliver, fetch, lister, suffix_of
from sese.runtime.band_above import FOLLOW
from sese.runtime.budget import Budget
from sese.runtime.enhancer import Enhancer
from sese.runtime.file import Report, require_separate


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
    band_above: str = FOLLOW
    linked: bool = True

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
    *,
    manifest: Path | None = None,
    ray: str | None = None,
    tell: Callable[[str], object] | None = None,
) -> Iterator[Outcome]:
    """Do jobs and yield the outcome of each as it is ready, in any order.

    A job that fails does not stop the others. Closing the iterator, or an interrupt, stops everything and
    leaves no half-written output.

    Args:
        jobs: From `sese.folders.inputs.plan_jobs`.
        settings: How to enhance.
        workers: Processes to use, one thread each; None for one per core.
        progress: Called with the seconds of audio read of the current file, when no processes are used.
        manifest: File for a row of each outcome, read first if it exists, see `sese.folders.manifest`; None
            for none.
        ray: Address of a Ray cluster that does the work, see `sese.folders.cluster`; None for this machine.
        tell: Called with a line that the user should know.

    Raises:
        InputError: The settings cannot be used with any file, or the manifest or the cluster not at all.
    """
    if workers is not None and workers < 1:
        raise InputError(f"jobs is {workers}; give a number of processes from 1 up")
    if settings.trace is not None and len(jobs) != 1:
        raise InputError(f"--trace {settings.trace} names one file, but there are {len(jobs)}; enhance one")
    if settings.trace is not None and ray is not None:
        raise InputError(f"--trace {settings.trace} is written on this machine; leave out --ray")
    if manifest is not None:
        _require_apart(manifest, jobs, settings)
    enhancer = settings.open()
    enhancer.stream(  # fail now, not in each file
        mix=settings.mix,
        max_attenuation_db=settings.max_attenuation_db,
        band_above=settings.band_above,
        linked=settings.linked,
    )
    with Manifest(manifest) if manifest else nullcontext() as record:
        facts = settings_row(settings, enhancer) if record else {}
        taken = lister()
        if record and tell:
            for note in _notes(record, [job for job in jobs if _finished(job, settings, taken)], facts):
                tell(note)
        for outcome in _outcomes(jobs, settings, enhancer, workers, progress, ray, tell, taken):
            if record:
                record.add(outcome, facts)
            yield outcome


def _require_apart(manifest: Path, jobs: Sequence[Job], settings: Settings) -> None:
    """Refuse a manifest that is the trace, an input or an output; by another name, it has no rows."""
    if settings.trace is not None:
        require_separate(settings.trace, manifest, "manifest", "trace")
    for job in jobs:
        for of, place in (("input", job.source), ("output", job.target)):
            if isinstance(place, Path) and place.name == manifest.name:
                require_separate(place, manifest, "manifest", of)


def _finished(job: Job, settings: Settings, taken: Callable[[Place], bool]) -> bool:
    """Whether a job's output is there, and stays."""
    return job.error is None and not settings.force and taken(job.target)


def _notes(manifest: Manifest, finished: Sequence[Job], facts: dict[str, Any]) -> Iterator[str]:
    if manifest.torn:
        lines = "1 line was torn and is" if manifest.torn == 1 else f"{manifest.torn} lines were torn and are"
        yield f"manifest {manifest.path}: {lines} passed over"
    for name, (count, before) in manifest.changed(finished, facts).items():
        one = count == 1
        yield (
            f"{count} finished {'output was' if one else 'outputs were'} made with {name} {before}, not "
            f"{facts[name]}, and {'stays as it is' if one else 'stay as they are'}; --force makes "
            f"{'it' if one else 'them'} again"
        )


def _outcomes(
    jobs: Sequence[Job],
    settings: Settings,
    enhancer: Enhancer,
    workers: int | None,
    progress: Callable[[float], object] | None,
    ray: str | None,
    tell: Callable[[str], object] | None,
    taken: Callable[[Place], bool],
) -> Iterator[Outcome]:
    pending = []
    for job in jobs:
        if job.error is not None:
            yield Outcome(job, "failed", error=job.error)
        elif _finished(job, settings, taken):
            yield Outcome(job, "skipped")
        else:
            pending.append(job)
    if ray is not None:
        from sese.folders.cluster import run_on_ray

        if pending:
            yield from run_on_ray(pending, settings, enhancer.artefact.path, workers, ray, tell)
        return
    workers = min(workers or available_cores(), len(pending))
    if workers > 1:
        yield from _in_parallel(pending, settings, workers)
    else:
        for job in pending:
            yield enhance_job(enhancer, job, settings, progress)


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def enhance_job(
    enhancer: Enhancer,
    job: Job,
    settings: Settings,
    progress: Callable[[float], object] | None = None,
    *,
    shared: bool = False,
) -> Outcome:
    """Do one job. What goes wrong with its files is in the outcome.

    Args:
        enhancer: The opened model.
        job: What to do; URLs are downloaded, enhanced and uploaded.
        settings: How to enhance.
        progress: Called with the seconds of audio read so far.
        shared: Whether other machines write to the same folder: a finished file is brought there then.
    """
    try:
        if isinstance(job.source, Path) and isinstance(job.target, Path):
            require_separate(job.source, job.target)
            if not shared:
                return Outcome(job, "done", _enhance(enhancer, job.source, job.target, settings, progress))
        return Outcome(job, "done", _enhance_apart(enhancer, job, settings, progress))
    except InputError as error:
        return Outcome(job, "failed", error=str(error))


def _enhance(
    enhancer: Enhancer,
    source: Path,
    target: Path,
    settings: Settings,
    progress: Callable[[float], object] | None,
) -> Report:
    return enhancer.enhance_file(
        source,
        target,
        mix=settings.mix,
        max_attenuation_db=settings.max_attenuation_db,
        band_above=settings.band_above,
        linked=settings.linked,
        trace=settings.trace,
        force=settings.force,
        progress=progress,
    )


def _enhance_apart(
    enhancer: Enhancer, job: Job, settings: Settings, progress: Callable[[float], object] | None
) -> Report:
    """Enhance in a temporary folder of this machine, then deliver the finished file."""
    with TemporaryDirectory(prefix="sese-") as folder:
        source = fetch(job.source, Path(folder))
        target = Path(folder) / f"target{suffix_of(job.target)}"
        try:
            report = _enhance(enhancer, source, target, settings, progress)
        except InputError as error:
            text = str(error).replace(str(target), str(job.target)).replace(str(source), str(job.source))
            raise InputError(text) from error
        deliver(target, job.target)
    return replace(report, input=str(job.source), output=str(job.target))


def _in_parallel(jobs: Sequence[Job], settings: Settings, workers: int) -> Iterator[Outcome]:
    """Do jobs in processes. A worker that dies takes the jobs in hand with it; the others go on."""
    waiting = deque(jobs)
    while waiting:
        yield from _in_a_pool(waiting, settings, min(workers, len(waiting)))


def _in_a_pool(waiting: deque[Job], settings: Settings, workers: int) -> Iterator[Outcome]:
    """Take jobs from `waiting` and do them, until none is left or a worker dies."""
    strangers = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(settings,)
    )
    in_hand: dict[Future[Outcome], Job] = {}
    broken = False
    try:
        while (waiting and not broken) or in_hand:
            with InterruptsHeld():  # workers are started here, and inherit that they are not interrupted
                while waiting and not broken and len(in_hand) < workers + 1:  # one more, so that none waits
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
    follow_parent()


def _work(job: Job) -> Outcome:
    _worker.busy = True
    try:
        return enhance_job(_worker.enhancer, job, _worker.settings, _worker.stop_if_told)
    except Exception as error:
        return Outcome(job, "failed", error=f"{job.source} was not enhanced: {type(error).__name__}: {error}")
    finally:
        _worker.busy = False
        if _worker.told_to_stop:  # leave here: the pool would go on with the next job
            os._exit(143)
