"""Report the effect of a stream's limits, as values and in words."""

from __future__ import annotations

from typing import TypedDict

from sese.runtime.stream import Stream


class Limits(TypedDict):
    """Effect of the limits; `sese.runtime.file.Report` describes the values."""

    limited_to: float | None
    max_rtf: float | None
    late_frames: int | None
    lowered: int | None
    missed: bool | None


def limits_of(stream: Stream) -> Limits:
    """Return the effect of a stream's limits since its last `reset`."""
    deadline, levels = stream.deadline, stream.artefact.card.levels
    highest = levels[stream.highest_level]
    return {
        "limited_to": None if highest is levels[-1] else highest.utilization,
        "max_rtf": None if deadline is None else deadline.max_rtf,
        "late_frames": None if deadline is None else deadline.late_frames,
        "lowered": None if deadline is None else deadline.lowered,
        "missed": None if deadline is None else deadline.missed,
    }


def late_note(late_frames: int, lowered: int, missed: bool, max_rtf: float) -> str | None:
    """Return a line about late frames, where they had consequences; else None."""
    note = f"{late_frames} frames took longer than --max-rtf {max_rtf:g} allows"
    if missed:
        return f"{note}, even at the lowest level; raise it or use a smaller model"
    if lowered:
        times = "once" if lowered == 1 else f"{lowered} times"
        return f"{note}; the highest level was lowered {times}"
    return None
