"""Frames steered by budgets and limits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sese.runtime.pilot
from runtime.tiny_model import GAINS, HOP, UTILIZATIONS
from sese.core.errors import InputError
from sese.runtime.artefact import Artefact, open_artefact
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import TIMED, Pilot
from sese.runtime.step import Step

AUDIO = np.random.default_rng(0).normal(0, 0.1, (1, 400 * HOP)).astype(np.float32)


@pytest.fixture(scope="module")
def artefact(tiny: Path) -> Artefact:
    return open_artefact(tiny)


@pytest.mark.parametrize("max_mmacs", [0.125, 0.3, 0.999, 1, None])
@pytest.mark.parametrize("budget", ["fixed:1", "fixed:0.25", 0.5, "threshold:100"])
def test_no_frame_costs_more(artefact: Artefact, budget: float | str, max_mmacs: float | None) -> None:
    pilot = Pilot(artefact, 1, EnhanceOptions(budget, max_mmacs))
    pilot(AUDIO)
    allowed = [u for u in UTILIZATIONS if max_mmacs is None or u <= max_mmacs]
    wanted = {"fixed:1": 1.0, "fixed:0.25": 0.25, 0.5: 0.5, "threshold:100": 1.0}[budget]
    assert pilot.trace.max() == min(allowed[-1], wanted)
    assert len(pilot.trace) == 400
    assert pilot.utilization == pytest.approx(pilot.trace.mean())
    assert pilot.ceiling == len(allowed) - 1


def test_threshold_reads_the_audio(artefact: Artefact) -> None:
    pilot = Pilot(artefact, 1, EnhanceOptions("threshold"))
    pilot(AUDIO)  # steady noise: a pause
    assert pilot.trace[0] == 1
    assert pilot.trace[-1] == 0.125
    pilot.restart()
    pilot(AUDIO[:, :HOP])
    assert pilot.trace[-1] == 1


def test_any_chunking(artefact: Artefact) -> None:
    for budget in ("threshold", 0.5):
        whole, parts = Pilot(artefact, 2, EnhanceOptions(budget)), Pilot(artefact, 2, EnhanceOptions(budget))
        audio = np.concatenate([AUDIO, 0.5 * AUDIO])
        cuts = np.array([0, 1, 2, 200, 203, 400]) * HOP
        pieces = [parts(audio[:, a:b]) for a, b in pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole(audio))
        np.testing.assert_array_equal(parts.trace, whole.trace)


def test_no_frames(artefact: Artefact) -> None:
    pilot = Pilot(artefact, 2, EnhanceOptions(1.0))
    assert pilot(np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert np.isnan(pilot.utilization)


class SlowClock:
    """Says that a frame took as long as `seconds`, from the second time it is asked about it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize("budget", ["fixed:1", 1.0])
def test_late_frames_lower_the_level(artefact: Artefact, budget: float | str) -> None:
    clock = SlowClock(HOP / 16000)
    pilot = Pilot(artefact, 1, EnhanceOptions(budget, max_rtf=0.5), clock=clock)
    frames = np.split(AUDIO[:, : 100 * HOP], 100, axis=1)
    enhanced = np.concatenate([pilot(frame) for frame in frames], axis=1)
    assert pilot.deadline is not None
    assert (pilot.deadline.lowered, pilot.deadline.missed, pilot.deadline.late_frames) == (3, True, 100)
    assert (pilot.trace[:5] == 1).all()
    assert (pilot.trace[15:] == 0.125).all()
    np.testing.assert_allclose(enhanced[:, 50 * HOP :], GAINS[0] * pilot_input(50), atol=1e-6)
    clock.seconds = 0.001 * HOP / 16000
    for _ in range(30):  # many frames a call count as many
        pilot(AUDIO[:, : 100 * HOP])
    assert pilot.trace[-1] == 1
    assert pilot.deadline.frames == 3100
    pilot.reset()
    assert pilot.deadline.late_frames == 0


def pilot_input(start: int) -> np.ndarray:
    """The audio as the tiny model delays it, from frame `start` to 100."""
    from runtime.tiny_model import LOOKAHEAD

    return AUDIO[:, start * HOP - LOOKAHEAD : 100 * HOP - LOOKAHEAD]


def test_both_limits(artefact: Artefact) -> None:
    pilot = Pilot(artefact, 1, EnhanceOptions(max_mmacs=0.5, max_rtf=0.5), clock=SlowClock(0.0))
    pilot(AUDIO)
    assert pilot.trace.max() == pilot.trace.min() == 0.5


def test_limits_of_an_enhancer(tiny: Path) -> None:
    enhancer = sese.load(tiny, max_mmacs=0.5, max_rtf=10)
    stream = enhancer.stream()
    stream.feed(AUDIO[0])
    assert stream.utilization == 0.5
    assert stream.highest_level == 2
    assert stream.deadline is not None
    assert stream.deadline.frames == 400
    assert enhancer.stream(max_mmacs=0.2).highest_level == 0
    np.testing.assert_allclose(enhancer.enhance(np.ones(1000), 16000), GAINS[2])
    np.testing.assert_allclose(enhancer.enhance(np.ones(1000), 16000, max_mmacs=0.25), GAINS[1])
    np.testing.assert_allclose(sese.enhance(np.ones(1000), 16000, model=tiny, max_mmacs=0.25), GAINS[1])


def test_bad_limits(tiny: Path) -> None:
    for limits in ({"max_mmacs": 0.1}, {"max_rtf": 0}, {"max_rtf": "fast"}):
        with pytest.raises(InputError, match=next(iter(limits))):
            Enhancer(tiny, **limits)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=next(iter(limits))):
            Enhancer(tiny).stream(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("budget", "handed"),
    [("auto", (-1, 0.0, 2)), ("held:0.3", (-1, 0.3, 2)), (0.3, (1,)), ("fixed:0.25", (1,)), (1.0, (2,))],
)
def test_what_the_step_is_handed(
    remembering: Path, monkeypatch: pytest.MonkeyPatch, budget: float | str, handed: tuple[float, ...]
) -> None:
    calls = []

    class Recorder(Step):
        def __call__(self, audio: np.ndarray, *steering: Any) -> tuple[np.ndarray, np.ndarray]:
            calls.append((audio.shape[1] // HOP, steering))
            return audio, np.ones(audio.shape[1] // HOP, np.float32)

    monkeypatch.setattr(sese.runtime.pilot, "Step", Recorder)
    Pilot(open_artefact(remembering), 1, EnhanceOptions(budget, max_mmacs=0.5))(AUDIO)
    assert [frames for frames, _ in calls] == [Step.LONGEST] * (400 // Step.LONGEST) + [400 % Step.LONGEST]
    assert {steering for _, steering in calls} == {handed}
    calls.clear()
    timed = EnhanceOptions(budget, max_mmacs=0.5, max_rtf=1.0)
    Pilot(open_artefact(remembering), 1, timed, clock=lambda: 0.0)(AUDIO)
    assert [frames for frames, _ in calls] == [TIMED] * (400 // TIMED) + [400 % TIMED]
    assert {steering for _, steering in calls} == {handed}
