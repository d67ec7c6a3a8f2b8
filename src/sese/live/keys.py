"""Read single keys from a terminal, without Enter and without blocking."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from sese.live.signals import StopSignals


class Keys:
    """A context in which keys are read one by one; none where stdin is not a terminal."""

    def __init__(self, stop: StopSignals) -> None:
        self._stop = stop

    def __enter__(self) -> Keys:
        self._terminal = None
        if sys.stdin is not None and sys.stdin.isatty():
            self._terminal = sys.stdin.fileno()
            if os.name != "nt":
                import termios
                import tty

                self._before = termios.tcgetattr(self._terminal)
                tty.setcbreak(self._terminal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal is not None and os.name != "nt":
            import termios

            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """Return the key pressed within `seconds`, in lower case; ``""`` without one, or after a signal."""
        if os.name == "nt":
            return self._wait_on_windows(seconds)
        if not self._stop.wait(self._terminal, seconds) or self._terminal is None:
            return ""
        key = os.read(self._terminal, 1)
        if not key:  # the terminal is gone
            self._terminal = None
        return key.decode("ascii", "replace").lower()

    def _wait_on_windows(self, seconds: float) -> str:
        import msvcrt
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end and self._stop.number is None:
            if self._terminal is not None and msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
                return str(msvcrt.getwch()).lower()  # type: ignore[attr-defined,unused-ignore]
            time.sleep(0.02)
        return ""
