"""Keeping up, by a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sese.core.errors import InputError
from sese.runtime.deadline import FORGET_SECONDS, HOLD_SECONDS, WINDOW, Deadline, require_max_rtf
from sese.runtime.enhancer import Enhancer

FRAME = 0.016
HOLD = round(HOLD_SECONDS / FRAME)  # frames
MAJORITY = WINDOW // 2 + 1


class Clock:
    """Returns the seconds that it was moved to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Machine:
    """Runs frames of a stream with a deadline; ``seconds(level)`` is what one takes."""

    def __init__(self, seconds: Callable[[int], float], max_rtf: float = 0.5, highest: int = 3) -> None:
        self.clock, self.seconds = Clock(), seconds
        self.deadline = Deadline(highest, FRAME, max_rtf, self.clock)
        self.ceilings: list[int] = []

    def run(self, frames: int, level: int = 99) -> list[int]:
        """Run frames at the ceiling, or at `level` where that is lower; returns the ceilings after each."""
        for _ in range(frames):
            self.deadline.begin()
            now = min(level, self.deadline.ceiling)
            self.clock.now += self.seconds(now)
            self.deadline.end([now])
            self.ceilings.append(self.deadline.ceiling)
        return self.ceilings[-frames:]


def slow(level: int) -> float:
    """0.3, 0.7, 1.1, 1.5 of the frame."""
    return (0.3 + 0.4 * level) * FRAME


def test_a_machine_that_keeps_up_is_left_alone() -> None:
    machine = Machine(lambda level: 0.49 * FRAME)
    assert set(machine.run(10_000)) == {3}
    assert (machine.deadline.late_frames, machine.deadline.lowered) == (0, 0)
    assert machine.deadline.frames == 10_000


def test_late_frames_lower_the_ceiling_step_by_step() -> None:
    machine = Machine(slow, max_rtf=1.0)
    assert machine.run(MAJORITY) == [3] * (MAJORITY - 1) + [2]
    assert machine.run(MAJORITY) == [2] * (MAJORITY - 1) + [1]
    assert machine.run(HOLD // 2) == [1] * (HOLD // 2)
    deadline = machine.deadline
    assert (deadline.late_frames, deadline.lowered, deadline.missed) == (2 * MAJORITY, 2, False)


def test_frames_of_a_call_count_with_their_mean() -> None:
    """As in files. The frames behind a change ran before it, and do not lower the ceiling again."""
    clock = Clock()
    deadline = Deadline(3, FRAME, 0.5, clock)
    for late, ceiling in ((0.49, 3), (0.51, 2), (0.51, 1), (0.49, 1)):
        deadline.begin()
        clock.now += late * FRAME * 64
        deadline.end([deadline.ceiling] * 64)
        assert deadline.ceiling == ceiling
    assert (deadline.frames, deadline.late_frames, deadline.lowered) == (256, 128, 2)


def test_a_hiccup_lowers_nothing() -> None:
    machine = Machine(lambda level: 0.1 * FRAME)
    for _ in range(200):
        machine.seconds = lambda level: 10 * FRAME
        machine.run(MAJORITY - 1)
        machine.seconds = lambda level: 0.1 * FRAME
        machine.run(WINDOW)
    assert set(machine.ceilings) == {3}
    assert machine.deadline.late_frames == 200 * (MAJORITY - 1)


def test_raised_after_a_while_of_slack() -> None:
    machine = Machine(slow, max_rtf=1.0)
    machine.run(2 * MAJORITY)
    machine.seconds = lambda level: 0.1 * FRAME
    assert machine.run(HOLD) == [1] * (HOLD - 1) + [2]
    assert machine.run(HOLD) == [2] * (HOLD - 1) + [3]
    assert set(machine.run(1000)) == {3}
    assert machine.deadline.lowered == 2


def test_without_slack_not_raised() -> None:
    machine = Machine(slow, max_rtf=1.0)
    machine.run(2 * MAJORITY)
    machine.seconds = lambda level: 0.9 * FRAME  # in time, but only just
    assert set(machine.run(20 * HOLD)) == {1}


def test_trials_that_fail_grow_rare() -> None:
    """Levels 2 and up are late for good: each trial costs a few late frames, and they grow rare."""
    machine = Machine(slow, max_rtf=1.0)
    machine.run(round(600 / FRAME))
    trials = [at for at, (a, b) in enumerate(pairwise(machine.ceilings)) if b > a]
    gaps = [(b - a) * FRAME for a, b in pairwise(trials)]
    assert len(trials) <= 10
    assert gaps == sorted(gaps)
    assert 4 <= gaps[0] <= 5
    assert gaps[-1] <= 121
    assert machine.deadline.late_frames <= (2 + len(trials)) * MAJORITY


def test_a_trial_that_lasts_is_forgotten() -> None:
    machine = Machine(slow, max_rtf=1.0)
    machine.run(round(60 / FRAME))  # by now trials are rare
    machine.seconds = lambda level: 0.1 * FRAME
    while machine.deadline.ceiling < 3:
        machine.run(1)
    machine.run(round(130 / FRAME))
    machine.seconds = slow
    machine.run(2 * MAJORITY)
    machine.seconds = lambda level: 0.1 * FRAME
    assert machine.run(HOLD)[-1] == 2


def test_dear_frames_are_judged_though_rare() -> None:
    """One frame in ten runs at the ceiling, late; the median of all is in time."""
    machine = Machine(slow, max_rtf=1.0)
    for _ in range(2 * MAJORITY):
        machine.run(9, level=0)
        machine.run(1)
    assert machine.deadline.ceiling == 1


def test_cheap_frames_in_time_do_not_vouch_for_dear_ones() -> None:
    machine = Machine(slow, max_rtf=1.0)
    machine.run(WINDOW - 1, level=0)
    assert machine.run(MAJORITY)[-1] == 2


def test_old_hiccups_are_forgotten() -> None:
    machine = Machine(slow, max_rtf=1.0)
    for _ in range(100):
        machine.run(1)
        machine.run(round(FORGET_SECONDS / FRAME / 3), level=0)
    assert machine.deadline.lowered == 0


def test_late_at_the_lowest_level() -> None:
    machine = Machine(lambda level: 2 * FRAME)
    machine.run(4 * MAJORITY)
    deadline = machine.deadline
    assert (deadline.ceiling, deadline.lowered, deadline.missed) == (0, 3, True)
    assert deadline.late_frames == deadline.frames == 4 * MAJORITY


def test_never_above_the_first() -> None:
    machine = Machine(lambda level: 2 * FRAME, highest=1)
    machine.run(MAJORITY)
    machine.seconds = lambda level: 0.01 * FRAME
    assert set(machine.run(10 * HOLD)) == {0, 1}


@pytest.mark.parametrize("max_rtf", [0, -1, float("nan"), float("inf"), "fast", []])
def test_bad_max_rtf(max_rtf: Any) -> None:
    with pytest.raises(InputError, match="max_rtf is") as caught:
        require_max_rtf(max_rtf)
    assert repr(max_rtf) in str(caught.value)


def test_max_rtf_as_typed(tiny: Path) -> None:
    stream = Enhancer(tiny, max_rtf="0.5").stream()  # type: ignore[arg-type]
    stream.feed(np.zeros(1600))
    assert stream.deadline is not None
    assert stream.deadline.max_rtf == 0.5
