"""Budgets: any value is a budget or refused, a number is a level, what is held is held on any signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from properties.drawn import KINDS, made, opened, seeds
from sese.core.errors import InputError
from sese.runtime.artefact import bundled_models
from sese.runtime.budget import Fixed, Routed, Threshold, highest_level, level_name, parse_budget
from sese.runtime.deadline import Deadline
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import Pilot

MODELS = bundled_models()
ROUTED = [name for name in MODELS if opened(name).card.router and not opened(name).card.gates]
SECONDS = 6

texts = (
    st.text(max_size=12)
    | st.builds("held:{}".format, st.text(max_size=8) | st.floats())
    | st.floats().map(str)
    | st.builds(
        "{}:{}".format, st.sampled_from(["fixed", "threshold", "auto", "Fixed", ""]), st.text(max_size=8)
    )
    | st.builds("{}:{}".format, st.sampled_from(["fixed", "threshold"]), st.floats())
)
values = texts | st.floats() | st.integers() | st.none() | st.booleans() | st.lists(st.integers(), max_size=2)


@settings(max_examples=8 * settings().max_examples)
@given(name=st.sampled_from(MODELS), alternatives=st.booleans(), budget=values)
@example(name="demucs-slim-small", alternatives=False, budget="0,3")
@example(name="demucs-slim-small", alternatives=False, budget="fixed:1\n")
@example(name="demucs-slim-small", alternatives=False, budget="1\n2")
@example(name="demucs-slim-small", alternatives=False, budget=10**400)
@example(name="demucs-slim-small", alternatives=False, budget="threshold:1e999")
def test_anything_is_a_budget_or_refused(name: str, alternatives: bool, budget: object) -> None:
    card = opened(name).card
    if alternatives:
        card = replace(card, alternatives=True, levels=(card.levels[0],) * 3, gates=False)
    try:
        rule = parse_budget(card, budget)  # type: ignore[arg-type]
    except InputError:  # whose message is one line, whatever is put into it
        return
    if isinstance(rule, Fixed):
        assert 0 <= rule.level < len(card.levels)
    elif isinstance(rule, Routed):
        assert card.router
        assert 0 <= rule.utilization <= 1
    else:
        assert isinstance(rule, Threshold)
        assert np.isfinite(rule.shift_db)


@given(name=st.sampled_from(MODELS), share=st.floats(0, 1))
def test_a_share_never_means_more(name: str, share: float) -> None:
    card = opened(name).card
    try:
        rule = parse_budget(card, share)
    except InputError:
        assert share < card.levels[0].utilization or card.gates
        return
    if isinstance(rule, Fixed):
        assert card.levels[rule.level].utilization <= share + 1e-5
        assert parse_budget(card, f"fixed:{level_name(card, rule.level)}") == rule
    elif rule.utilization:  # 0 where gates decide, within everything
        assert rule.utilization <= share + 1e-5


@given(name=st.sampled_from(MODELS), number=st.floats(0, 1, exclude_min=True))
@example(name="demucs-slim-small", number=0.125)
@example(name="demucs-slim-small", number=np.nextafter(0.5, 0))
@example(name="demucs-slim-small", number=0.4999)
@example(name="sese-2", number=0.99)
@example(name="sese-2", number=0.125)
def test_a_number_is_the_highest_level_within_it_or_refused(name: str, number: float) -> None:
    card = opened(name).card
    within = [index for index, level in enumerate(card.levels) if level.utilization <= number + 1e-6]
    if not within and not card.gates:
        with pytest.raises(InputError, match=f"from {card.levels[0].utilization:g}, the lowest level, to 1"):
            parse_budget(card, number)
        return
    if card.gates:  # they have one level, everything, and decide in its place
        if number == 1:
            assert parse_budget(card, number) == Routed(0.0)
        return
    rule = parse_budget(card, number)
    if card.rests and number >= 3 / 4 * card.levels[1].utilization and within[-1] < len(card.levels) - 1:
        assert rule == Routed(number)
    else:
        assert rule == Fixed(within[-1])
    assert parse_budget(card, str(number)) == rule


@settings(max_examples=3 * settings().max_examples)
@given(name=st.sampled_from(MODELS), limit=values)
def test_a_limit_is_kept_or_refused(name: str, limit: object) -> None:
    card = opened(name).card
    try:
        level = highest_level(card, limit)  # type: ignore[arg-type]
    except InputError:
        return
    if limit is not None:
        assert card.levels[level].macs_per_second / 1e6 <= float(limit) * (1 + 1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ROUTED)
@settings(max_examples=max(1, settings().max_examples // 3))
@given(data=st.data(), seed=seeds)
def test_what_is_held_is_held_on_any_signal(name: str, data: st.DataObject, seed: int) -> None:
    """Mean utilization, and so MACs a second, no more than 5 % above the budget, from 2 s on."""
    artefact = opened(name)
    card = artefact.card
    hop, used = card.hop_length, np.array([level.utilization for level in card.levels])
    target = data.draw(st.floats(used[0] * 1.05, 0.97), "target")
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), "kinds")
    gain = data.draw(st.sampled_from([1.0, 0.01]), "gain")
    time = SECONDS * card.sample_rate // len(kinds) // hop * hop
    audio = gain * np.concatenate([made(kind, seed, 1, time) for kind in kinds], axis=1)
    pilot = Pilot(artefact, 1, EnhanceOptions(target if card.rests else f"held:{target!r}"))
    pilot(audio.astype(np.float32))
    mean = np.cumsum(pilot.trace) / np.arange(1, len(pilot.trace) + 1)
    settled = mean[2 * card.sample_rate // hop :]
    assert settled.max() <= 1.05 * target
    assert pilot.utilization == pytest.approx(mean[-1], rel=1e-5)


@given(data=st.data(), name=st.sampled_from(ROUTED), seed=seeds)
def test_no_frame_runs_above_the_limit(data: st.DataObject, name: str, seed: int) -> None:
    artefact = opened(name)
    levels = artefact.card.levels
    limit = data.draw(
        st.floats(levels[0].macs_per_second / 1e6, 1.1 * levels[-1].macs_per_second / 1e6), "limit"
    )
    budget = data.draw(st.sampled_from([1.0, "auto", "threshold:20", 0.9, "held:0.9"]), "budget")
    pilot = Pilot(artefact, 2, EnhanceOptions(budget, limit))
    pilot(made("speech", seed, 2, 40 * artefact.card.hop_length))
    cost = {np.float32(0): 0.0}  # at rest, where the network does not run
    cost |= {np.float32(level.utilization): level.macs_per_second / 1e6 for level in levels}
    assert max(cost[used] for used in pilot.trace) <= limit * (1 + 1e-5)


@given(
    highest=st.integers(0, 4),
    times=st.lists(
        st.tuples(st.floats(0, 40), st.lists(st.integers(-1, 4), min_size=1, max_size=3)),
        min_size=1,
        max_size=400,
    ),
)
def test_a_deadline_stays_within_its_levels(highest: int, times: list[tuple[float, list[int]]]) -> None:
    """Calls of frames of 16 ms that take any time: the ceiling moves by one, down only after late frames."""
    now = 0.0
    deadline = Deadline(highest, 0.016, 0.5, lambda: now)
    for milliseconds, levels in times:
        before, late = deadline.ceiling, deadline.late_frames
        deadline.begin()
        now += milliseconds / 1000
        deadline.end([min(level, deadline.ceiling) for level in levels])
        assert 0 <= deadline.ceiling <= highest
        assert abs(deadline.ceiling - before) <= 1
        if deadline.ceiling < before:
            assert deadline.late_frames >= 5
        assert deadline.late_frames - late in (0, len(levels))
    assert deadline.frames == sum(len(levels) for _, levels in times)
    assert not deadline.missed or deadline.late_frames >= 5
