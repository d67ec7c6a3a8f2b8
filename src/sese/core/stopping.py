"""Stop on a signal: clean up, print a line, and end with the exit code that shells expect."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from types import FrameType

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "told to stop"}


def stop_when_told() -> None:
    """Answer SIGINT and SIGTERM with `SystemExit`, code 130 and 143.

    A second SIGTERM does not disturb the cleanup; a second SIGINT ends the process at once.
    """
    if threading.current_thread() is threading.main_thread():
        for number in WORDS:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"sese: {WORDS[signal.Signals(number)]}", file=sys.stderr, flush=True)
    sys.exit(128 + number)


class InterruptsHeld:
    """A context in which Ctrl-C has to wait; processes started in it ignore Ctrl-C for life."""

    def __enter__(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def follow_parent() -> None:
    """Send this worker process SIGTERM when its parent ends, for any reason."""

    def follow() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
