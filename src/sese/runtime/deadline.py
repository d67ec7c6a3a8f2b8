"""Keeping up: the highest level that may run goes down while frames run late, and up again after."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

from sese.core.errors import InputError

WINDOW = 9
"""Frames that are looked back on: when more than half of them were late, their median was."""

FORGET_SECONDS = 5.0
"""After so much audio a frame is not looked back on any longer."""

MARGIN = 0.8
"""Share of the allowed time up to which a frame has slack."""

PENALTY = 10
"""Frames with slack that make good for one without."""

HOLD_SECONDS, LONGEST_HOLD_SECONDS = 2.0, 120.0
"""Audio with slack before a higher level is tried. The hold doubles when a trial fails, up to the longest,
and is the first again when a trial lasts."""


class Deadline:
    """Watches how long frames take, and says how high a level may run.

    Dearer levels take longer. So a late frame tells against the highest level, whichever ran; a frame in time
    tells for it only if it ran there. Levels that a router or a rule seldom picks are judged by the frames in
    which it did.

    Args:
        highest: Level to start with and never to exceed, counted from 0, the cheapest.
        frame_seconds: Duration of a frame.
        max_rtf: Time that a frame may take, as a multiple of its duration, above 0; also an attribute.
        clock: Returns seconds.

    Attributes:
        ceiling: Highest level that may run now.
        frames: Frames timed so far.
        late_frames: Those that took longer than allowed.
        lowered: Times that the ceiling was lowered.
        missed: Whether frames ran late at the lowest level too, with nothing left to lower.
    """

    def __init__(
        self, highest: int, frame_seconds: float, max_rtf: float, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._highest = self.ceiling = highest
        self._frame_seconds = frame_seconds
        self.max_rtf = max_rtf
        self._allowed = max_rtf * frame_seconds
        self._clock = clock
        self.frames = self.late_frames = self.lowered = 0
        self.missed = False
        self._recent: deque[tuple[int, bool]] = deque(maxlen=WINDOW)  # frame, whether it was late
        self._hold = HOLD_SECONDS
        self._slack = 0  # frames, net of penalties
        self._raised_at = -1  # frame of a trial that goes on
        self._began = 0.0

    def begin(self) -> None:
        """Say that a frame is begun."""
        self._began = self._clock()

    def end(self, level: int) -> None:
        """Say that the frame is done, and the level that it ran at; -1 where the model rested."""
        seconds = self._clock() - self._began
        late = seconds > self._allowed
        self.frames += 1
        self.late_frames += late
        if late or level == self.ceiling:
            self._recent.append((self.frames, late))
        while self._recent and self._audio_since(self._recent[0][0]) > FORGET_SECONDS:
            self._recent.popleft()
        if self._raised_at >= 0 and self._audio_since(self._raised_at) > self._hold:
            self._raised_at, self._hold = -1, HOLD_SECONDS
        if level < 0 and not late:
            return
        self._slack = self._slack + 1 if seconds <= MARGIN * self._allowed else max(self._slack - PENALTY, 0)
        if 2 * sum(was_late for _, was_late in self._recent) > WINDOW:
            self._lower()
        elif self.ceiling < self._highest and self._slack * self._frame_seconds >= self._hold:
            self._raise()

    def _lower(self) -> None:
        self._start_anew()
        if self.ceiling == 0:
            self.missed = True
            return
        self.ceiling -= 1
        self.lowered += 1
        if self._raised_at >= 0:
            self._raised_at = -1
            self._hold = min(2 * self._hold, LONGEST_HOLD_SECONDS)

    def _raise(self) -> None:
        self._start_anew()
        self.ceiling += 1
        self._raised_at = self.frames

    def _start_anew(self) -> None:
        self._recent.clear()
        self._slack = 0

    def _audio_since(self, frame: int) -> float:
        return (self.frames - frame) * self._frame_seconds


def require_max_rtf(max_rtf: Any) -> float | None:
    """`max_rtf` as a number, or InputError unless it is None or a number above 0."""
    if max_rtf is None:
        return None
    try:
        allowed = float(max_rtf)
    except (TypeError, ValueError, OverflowError):
        allowed = 0.0
    if not 0 < allowed < float("inf"):
        raise InputError(f"max_rtf is {max_rtf!r}; give a number above 0, below 1 for real time")
    return allowed
