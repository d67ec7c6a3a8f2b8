"""Enhance many files on a Ray cluster, by Ray Data.

The driver lists the files, distributes them and receives the outcome of each; actors, one per core, each hold
the opened model. A row of the dataset is one file and a task is one row, so a lost worker had a file or two:
the driver distributes those again when the others are done. Every node needs this package, and the input and
output folders under the same paths, or URLs.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sese.core.errors import InputError
from sese.core.install import install_command
from sese.core.native_output import native_errors_hidden
from sese.core.stopping import stop_when_told
from sese.folders.inputs import Job
from sese.folders.job import Outcome, RunOptions, enhance_job
from sese.folders.places import absolute, as_place
from sese.runtime.file import Report

if TYPE_CHECKING:
    from ray import ObjectRef

FILES_PER_ACTOR = 100  # in one dataset: the driver first makes a block for each, in a millisecond or two
ATTEMPTS = 4  # a file whose workers die this often is probably the cause


def run_on_ray(
    jobs: Sequence[Job],
    options: RunOptions,
    model: Path,
    workers: int | None = None,
    address: str = "auto",
    tell: Callable[[str], object] | None = None,
) -> Iterator[Outcome]:
    """Do jobs on a cluster and yield the outcome of each once, as it is ready, in any order.

    Args:
        jobs: Jobs to do, whether or not their outputs exist.
        options: How to enhance; their model is replaced by `model`.
        model: ``.onnx`` file; its bytes are sent to the workers.
        workers: Number of actors, one core each; None for one per core of the cluster.
        address: "auto" for the cluster of RAY_ADDRESS or of this machine, or a new one on this machine if
            there is none; "local" for a new one; else ``HOST:PORT``. Not used where this process is
            connected already.
        tell: Called with a line where workers were lost.

    Raises:
        InputError: Ray is missing, there is no such cluster, or no worker can start there.
    """
    ray = _import()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address)
    try:
        weights = ray.put(model.read_bytes())
        options = replace(options, model=None, force=True)  # the driver has passed over existing outputs
        actors = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting, attempts = deque(jobs), Counter[Job]()
        while waiting:
            batch = [waiting.popleft() for _ in range(min(len(waiting), actors * FILES_PER_ACTOR))]
            left = dict(enumerate(batch))
            problem: Exception | None = None
            try:
                for row in _rows(batch, options, weights, min(actors, len(batch))):
                    yield _outcome(left.pop(int(row["index"])), row)
            except ray.exceptions.RayError as error:
                if len(left) == len(batch):
                    raise InputError(_no_start(error)) from error
                problem = error
            if left and tell:
                files = "1 file was" if len(left) == 1 else f"{len(left)} files were"
                tell(f"{files} with lost workers and will be tried again")
            for job in left.values():
                attempts[job] += 1
                if attempts[job] < ATTEMPTS:
                    waiting.append(job)
                else:
                    why = f" ({_line(problem)})" if problem else ""
                    error_text = f"{job.source} was not enhanced: its worker died {ATTEMPTS} times{why}"
                    yield Outcome(job, "failed", error=f"{error_text}; is there memory for it?")
    finally:
        if ours:
            ray.shutdown()


class Actor:
    """A worker with its opened model.

    Args:
        options: How to enhance.
        weights: Bytes of the model.
    """

    def __init__(self, options: RunOptions, weights: ObjectRef[bytes]) -> None:
        import ray

        with TemporaryDirectory(prefix="sese-") as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(ray.get(weights))
            self.artefact = replace(options, model=str(path)).open()
        self.options = options

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the jobs of the columns `source` and `target`; return the `report` or `error` of each."""
        outcomes = []
        for source, target in zip(batch["source"], batch["target"], strict=True):
            job = Job(as_place(str(source)), as_place(str(target)))
            try:
                outcomes.append(enhance_job(self.artefact, job, self.options, shared=True))
            except Exception as error:
                text = f"{source} was not enhanced: {type(error).__name__}: {error}"
                outcomes.append(Outcome(job, "failed", error=text))
        return {
            "index": batch["index"],
            "report": [_packed(outcome.report) for outcome in outcomes],
            "error": [outcome.error or "" for outcome in outcomes],
        }


def _packed(report: Report | None) -> str:
    return json.dumps(asdict(report)) if report else ""


def _outcome(job: Job, row: dict[str, Any]) -> Outcome:
    if row["error"]:
        return Outcome(job, "failed", error=str(row["error"]))
    names = {"input": str(job.source), "output": str(job.target)}  # as the user gave them
    return Outcome(job, "done", Report(**json.loads(row["report"]) | names))


def _rows(
    jobs: Sequence[Job], options: RunOptions, weights: ObjectRef[bytes], actors: int
) -> Iterator[dict[str, Any]]:
    """Yield results as they come. Those of lost workers are missing."""
    import ray

    places = [
        {"index": index, "source": absolute(job.source), "target": absolute(job.target)}
        for index, job in enumerate(jobs)
    ]
    data = ray.data.from_items(places, override_num_blocks=len(places)).map_batches(
        Actor,
        batch_size=1,
        fn_constructor_args=(options, weights),
        compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=2),
        num_cpus=1,
        # A lost actor comes back when there is a core for it. Its tasks do not wait for it: in a cluster
        # that has become too small they would wait for ever.
        max_restarts=-1,
        max_task_retries=0,
    )
    data.context.max_errored_blocks = -1
    data.context.enable_progress_bars = False
    yield from data.iter_rows()


def _import() -> Any:
    # Ray sends no usage data. Errors of workers are reported here, not by the library's own log.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(f"--ray needs {error.name}; {install_command('ray')}") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address != "auto":
        options["address"] = address
    if address == "local":
        options["include_dashboard"] = False
    try:
        if ":" in address:  # Ray itself would try for two minutes
            host, port = address.rsplit(":", 1)
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        with native_errors_hidden():
            ray.init(**options)
    except Exception as error:  # each kind of address raises errors of its own
        raise InputError(
            f"no Ray cluster at {address} ({_line(error)}); start one with `ray start`"
        ) from error
    stop_when_told()  # again: Ray has put its own answer to SIGTERM in place


def _no_start(error: Exception) -> str:
    return f"the Ray workers could not start ({_line(error)}); is this version of sese on every node?"


def _line(error: Exception | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(". ") if lines else type(error).__name__
