"""Work spread over processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sese.errors import InputError


def parallel(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    jobs: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple = (),
) -> Iterator[Any]:
    """`function` of each task, in order, in `jobs` new processes (1: in this one).

    Raises:
        InputError: a process ended early.
    """
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


def job_count(jobs: int | None, tasks: int) -> int:
    """How many processes `tasks` get: at most `jobs`; None: one per available core.

    Raises:
        InputError: `jobs` is below 1.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: {jobs} processes asked for; give 1 or more")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(jobs or available, tasks)
