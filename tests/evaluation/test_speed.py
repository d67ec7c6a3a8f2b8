"""Times of levels in a moment: their order is never upside down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sese.evaluation import speed
from sese.runtime.artefact import bundled_models, find_model, open_artefact
from sese.runtime.stream import Stream

LEVELS = ["fixed:0.125", "fixed:0.25", "fixed:0.5", "fixed:1"]


def clock_of(turn: Callable[[int, int], float]) -> Callable[[], float]:
    """A clock by which the turn of a level (round from 0, place from 0) takes `turn` seconds."""

    def readings() -> Iterator[float]:
        now = 0.0
        for number in range(10_000):
            yield now
            now += turn(*divmod(number, len(LEVELS)))
            yield now

    return readings().__next__


def test_the_least_of_the_rounds_counts(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work makes the lowest level by far the slowest in all rounds but one."""
    monkeypatch.setattr(speed, "clock", clock_of(lambda number, place: 2 + place + 50 * (number != place)))
    times = speed.file_times(open_artefact(tiny), LEVELS)
    assert times == dict(zip(LEVELS, [1.0, 1.5, 2.0, 2.5], strict=True))


def test_more_rounds_follow_while_the_order_is_wrong(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = speed.ROUNDS + 3
    monkeypatch.setattr(
        speed, "clock", clock_of(lambda number, place: 9.0 if place == 0 and number < late else 2 + place)
    )
    assert list(speed.file_times(open_artefact(tiny), LEVELS).values()) == [1.0, 1.5, 2.0, 2.5]


def test_no_time_where_the_order_stays_wrong(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "clock", clock_of(lambda number, place: 9.0 - place))
    artefact = open_artefact(tiny)
    assert speed.file_times(artefact, LEVELS) == {}
    same = replace(
        artefact, card=replace(artefact.card, alternatives=True, levels=artefact.card.levels[3:] * 4)
    )
    monkeypatch.setattr(speed, "clock", clock_of(lambda number, place: 9.0 - place))
    experts = [f"fixed:{number}" for number in range(1, 5)]
    assert speed.file_times(same, experts).keys() == set(experts), "experts cost the same, in any order"
    assert speed.lowest_and_highest(same.card) == ["fixed:1"]


def test_a_number_has_the_time_of_its_level(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "clock", clock_of(lambda number, place: 2 + place))
    times = speed.file_times(open_artefact(tiny), [*LEVELS, 0.3, 0.2])
    assert times[0.3] == times["fixed:0.25"]
    assert times[0.2] == times["fixed:0.125"]


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models(name: str) -> None:
    artefact = open_artefact(name)
    times = list(speed.file_times(artefact, speed.lowest_and_highest(artefact.card)).values())
    assert times == sorted(times)
    assert len(times) == min(2, len(artefact.card.levels))
    assert all(time > 0 for time in times)


def test_the_sound_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pauses a model that rests would take next to no time, beside scores of speech."""
    artefact, fed = open_artefact(find_model("sese-2")), []

    class Listening(Stream):
        def feed(self, audio: Any) -> Any:
            made = super().feed(audio)
            fed.append(self.utilization)
            return made

    monkeypatch.setattr(speed, "Stream", Listening)
    assert speed.file_times(artefact, ["auto"]).keys() == {"auto"}
    assert min(fed) > 0.7
