"""Work spread over processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sese.core.errors import InputError
from sese.core.processors import available_cores
from sese.core.stopping import InterruptsHeld, follow_parent


def parallel(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    jobs: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple = (),
) -> Iterator[Any]:
    """Yield `function` of each task, in order, from `jobs` new processes (1: from this one).

    The processes end with this one, and when it is stopped; what they return is to be written here.

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
    strangers = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, context, _start, (initializer, arguments))
    try:
        with InterruptsHeld():  # the processes are started here: Ctrl-C is for this one alone
            waiting = deque(pool.submit(function, task) for task in tasks)
        while waiting:
            yield waiting.popleft().result()
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - strangers:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise InputError(
                f"--jobs: one of {jobs} processes ended early (out of memory?); use fewer, or 1 to see why"
            ) from None
        raise
    finally:
        pool.shutdown()


def _start(initializer: Callable[..., None] | None, arguments: tuple) -> None:
    follow_parent()
    if initializer:
        initializer(*arguments)


def job_count(jobs: int | None, tasks: int) -> int:
    """Return the number of processes for some tasks: at most `jobs`, or one per available core.

    Raises:
        InputError: `jobs` is below 1.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs: {jobs} processes asked for; give 1 or more")
    available = available_cores()
    return min(jobs or available, tasks)
