"""Note signals to stop, so that the program can act on them between two blocks."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType


class StopSignals:
    """A context in which SIGINT and SIGTERM are noted; a second one raises KeyboardInterrupt at once.

    Attributes:
        number: Number of the signal that came; None before any.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> StopSignals:
        self._wake, self._woken = os.pipe()
        if os.name != "nt":
            os.set_blocking(self._woken, False)
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._wake)
        os.close(self._woken)

    @property
    def exit_code(self) -> int:
        """Exit code of a process that ends by the signal that came; 0 without one."""
        return 0 if self.number is None else 128 + self.number

    def wait(self, readable: int | None = None, timeout: float | None = None) -> bool:
        """Wait until a file descriptor is readable, a signal comes, or `timeout` seconds are over.

        Returns:
            Whether the descriptor is readable. Windows cannot wait for pipes: there it is True at once, and
            reading waits.
        """
        if os.name == "nt":
            return self.number is None
        ready, _, _ = select.select(
            [self._wake] if readable is None else [self._wake, readable], [], [], timeout
        )
        return readable in ready and self.number is None

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        os.write(self._woken, b"x")
