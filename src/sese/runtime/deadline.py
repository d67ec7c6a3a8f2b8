"""Keep up with real time: lower the highest level while frames are late, and raise it again after."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from sese.core.errors import InputError

WINDOW = 9
"""Number of recent frames that count; when more than half of them were late, so was their median."""

FORGET_SECONDS = 5.0
"""Age in seconds of audio at which a frame no longer counts."""

MARGIN = 0.8
"""Share of the allowed time below which a frame has slack."""

PENALTY = 10
"""Number of frames with slack that make up for one without."""

HOLD_SECONDS, LONGEST_HOLD_SECONDS = 2.0, 120.0
"""Seconds of audio with slack before a higher level is tried. The hold doubles when a trial fails, up to the
longest, and returns to the first when a trial lasts."""


class Deadline:
    """Measure the time of frames, and set the highest level that may run.

    Higher levels take longer. So a late frame counts against the highest level, whichever level ran; a frame
    in time counts for it only if it ran at this level. A level that a router or a rule seldom picks is judged
    by the frames in which it ran.

    Args:
        highest: Level to start with and never to exceed, counted from 0, the lowest.
        frame_seconds: Duration of a frame in seconds.
        max_rtf: Longest time for a frame, as a multiple of its duration, above 0; also an attribute.
        clock: Function that returns seconds.

    Attributes:
        ceiling: Highest level that may run now.
        frames: Number of frames timed so far.
        late_frames: Number of frames that took longer than allowed.
        lowered: Number of times that the ceiling was lowered.
        missed: Whether frames were late at the lowest level too, where nothing is left to lower.
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
        self._raised_at = -1  # frame at which the present trial began
        self._began = 0.0

    def begin(self) -> None:
        """Note that a call begins."""
        self._began = self._clock()

    def end(self, levels: Sequence[int]) -> None:
        """Note that the call is done, and the level of each of its frames; -1 where the model rested.

        Each frame counts with the mean time. Frames behind a change of the ceiling ran before it, and are
        only counted.
        """
        seconds = (self._clock() - self._began) / len(levels)
        late, ceiling = seconds > self._allowed, self.ceiling
        self.late_frames += late * len(levels)
        for level in levels:
            self.frames += 1
            if self.ceiling == ceiling:
                self._judge(level, seconds, late)

    def _judge(self, level: int, seconds: float, late: bool) -> None:
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
    """Return `max_rtf` as a number or None; raise InputError unless it is a number above 0."""
    if max_rtf is None:
        return None
    try:
        allowed = float(max_rtf)
    except (TypeError, ValueError, OverflowError):
        allowed = 0.0
    if not 0 < allowed < float("inf"):
        raise InputError(f"max_rtf is {max_rtf!r}; give a number above 0, below 1 for real time")
    return allowed
