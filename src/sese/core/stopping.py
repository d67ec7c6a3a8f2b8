"""Stop on a signal: clean up, print a line, and end with the exit code that shells expect."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

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


class StopRequest:
    """A context in which SIGINT and SIGTERM are noted, so that work can end where nothing is lost.

    At the end of the context the signal is sent again, to what handled it before. A second SIGINT goes there
    at once, a second SIGTERM nowhere. Outside of the main thread signals are not noted.

    Args:
        said: Line that is printed on standard error when a signal comes; empty for none.

    Attributes:
        number: Number of the signal that came; 0 before any.
    """

    def __init__(self, said: str = "") -> None:
        self.said, self.number = said, 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.getsignal(number) for number in WORDS}
        self.listen()
        return self

    def listen(self) -> None:
        """Note signals, again where other code has put its own answer in place since."""
        if threading.current_thread() is threading.main_thread():
            for number in self._before:
                signal.signal(number, self._note)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Leave signals to what handled them before, for work that loses nothing when it ends at once."""
        self._restore()
        try:
            if self.number:
                signal.raise_signal(self.number)
            yield
        finally:
            self.listen()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._restore()
        if self.number and kind is None:
            signal.raise_signal(self.number)

    def _restore(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if not self.number:
            self.number = number
            if self.said:  # not by print, which the signal may have interrupted
                with suppress(OSError):
                    os.write(2, f"\n{self.said}\n".encode())
        elif number == signal.SIGINT:
            self._restore()
            signal.raise_signal(number)
