"""Tests of budgets and cost limits: their grammar, their meaning, and one line for invalid ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.tiny_model import UTILIZATIONS
from sese.core.errors import InputError
from sese.runtime.artefact import open_artefact
from sese.runtime.budget import Fixed, Routed, Rule, Threshold, highest_level, parse_budget
from sese.runtime.card import Card
from sese.runtime.deadline import require_max_rtf


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Card:
    return open_artefact(tiny).card


@pytest.fixture(scope="module")
def routed(plain: Card) -> Card:
    return replace(plain, router=True)


@pytest.mark.parametrize("budget", [0.125, 0.2, 0.25, "0.5", 0.99, 1, np.float32(1.0)])
def test_a_number_selects_the_highest_level_within_it(plain: Card, budget: Any) -> None:
    rule = parse_budget(plain, budget)
    assert isinstance(rule, Fixed)
    assert plain.levels[rule.level].utilization <= float(budget)
    assert all(dearer.utilization > float(budget) for dearer in plain.levels[rule.level + 1 :])


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        (0.3, Fixed(1)),
        (0.25, Fixed(1)),
        ("0.5", Fixed(2)),
        (1, Fixed(3)),
        ("held:0.3", Routed(0.3)),
        ("held:0.125", Routed(0.125)),
        ("held:1", Routed(1.0)),
        (0.125, Fixed(0)),
        ("auto", Routed(0.0)),
        ("fixed:0.25", Fixed(1)),
        ("threshold", Threshold(0.0)),
    ],
)
def test_with_a_router(routed: Card, budget: Any, rule: Rule) -> None:
    assert parse_budget(routed, budget) == rule


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        (0.3, Routed(0.3)),
        (3 / 4 * 0.25, Routed(3 / 4 * 0.25)),
        (0.18, Fixed(0)),
        (0.125, Fixed(0)),
        ("fastest", Fixed(0)),
        (1, Fixed(3)),
        ("auto", Routed(0.0)),
        ("fixed:0.5", Fixed(2)),
    ],
)
def test_a_model_that_rests_stays_within_a_number(routed: Card, budget: Any, rule: Rule) -> None:
    """At the lowest level, detecting pauses takes longer than resting in them saves."""
    assert parse_budget(replace(routed, rests=True), budget) == rule


@pytest.mark.parametrize("budget", ["held:", "held:x", "held:0.1", "held:1.01", "held:nan"])
def test_bad_mean(routed: Card, budget: str) -> None:
    with pytest.raises(InputError, match=r"give 'held:SHARE', from 0\.125, the lowest level, to 1") as caught:
        parse_budget(routed, budget)
    assert repr(budget) in str(caught.value)


@pytest.mark.parametrize("changes", [{}, {"router": True, "gates": True}])
def test_a_mean_needs_a_router(plain: Card, changes: dict[str, bool]) -> None:
    with pytest.raises(InputError, match=r"'held:0\.3' and tiny has no router that holds a mean"):
        parse_budget(replace(plain, **changes), "held:0.3")


def test_below_the_lowest_level_the_message_names_it(plain: Card) -> None:
    with pytest.raises(
        InputError, match=r"budget is 0\.05; give a number from 0\.125, the lowest level, to 1"
    ):
        parse_budget(plain, 0.05)


def test_above_the_highest_level_is_the_highest_level(routed: Card) -> None:
    assert parse_budget(replace(routed, levels=routed.levels[:3]), 0.7) == Fixed(2)


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        ("fixed:1", Fixed(3)),
        ("fixed:1e0", Fixed(3)),
        ("threshold:0", Threshold(0.0)),
        ("threshold:-3.5", Threshold(-3.5)),
        ("threshold:6", Threshold(6.0)),
    ],
)
def test_words(plain: Card, budget: str, rule: Rule) -> None:
    assert parse_budget(plain, budget) == rule


def test_a_level_that_is_no_short_decimal(plain: Card) -> None:
    card = replace(plain, levels=(replace(plain.levels[0], utilization=1 / 3), plain.levels[3]))
    for budget in (1 / 3, "fixed:0.333333", 0.333333):
        assert parse_budget(card, budget) == Fixed(0)


BAD = [
    0,
    0.1,
    1.01,
    -1,
    float("nan"),
    float("inf"),
    "much",
    "",
    None,
    [],
    "fixed",
    "fixed:",
    "fixed:0.3",
    "fixed:x",
]


@pytest.mark.parametrize("router", [False, True])
@pytest.mark.parametrize("budget", BAD)
def test_bad_budget(plain: Card, budget: Any, router: bool) -> None:
    with pytest.raises(InputError, match=r"0\.125, 0\.25, 0\.5, 1") as caught:
        parse_budget(replace(plain, router=router), budget)
    assert repr(budget) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ("'auto'" in str(caught.value)) <= router


@pytest.mark.parametrize("budget", ["threshold:", "threshold:x", "threshold:nan", "threshold:inf"])
def test_bad_threshold(plain: Card, budget: str) -> None:
    with pytest.raises(InputError, match="'threshold:DB'") as caught:
        parse_budget(plain, budget)
    assert repr(budget) in str(caught.value)


def test_auto_needs_a_router(plain: Card) -> None:
    with pytest.raises(InputError, match=r"'auto' needs a router and tiny has none.*0\.125, 0\.25, 0\.5, 1"):
        parse_budget(plain, "auto")


@pytest.mark.parametrize(
    ("max_mmacs", "level"), [(None, 3), (1e9, 3), (1, 3), (0.99, 2), (0.25, 1), (0.1250, 0)]
)
def test_highest_level(plain: Card, max_mmacs: float | None, level: int) -> None:
    assert [row.macs_per_second for row in plain.levels] == [1e6 * u for u in UTILIZATIONS]
    assert highest_level(plain, max_mmacs) == level


@pytest.mark.parametrize("max_mmacs", [0.12, 0, -1, float("nan"), "lots", []])
def test_too_little(plain: Card, max_mmacs: Any) -> None:
    with pytest.raises(
        InputError, match=r"give 0\.125 or more: the lowest level of tiny costs 0\.1"
    ) as caught:
        highest_level(plain, max_mmacs)
    assert repr(max_mmacs) in str(caught.value)


def test_what_the_message_names_is_enough(plain: Card) -> None:
    for cost in (0.123456, 45.2999, 45.3, 45.31, 1234.56):
        card = replace(plain, levels=(replace(plain.levels[0], macs_per_second=1e6 * cost),))
        with pytest.raises(InputError) as caught:
            highest_level(card, 0)
        named = float(str(caught.value).split("give ")[1].split()[0])
        assert highest_level(card, named) == 0


def test_a_number_too_large_to_be_one_is_refused(plain: Card) -> None:
    huge = 10**400
    with pytest.raises(InputError, match="budget is 1000"):
        parse_budget(plain, huge)
    with pytest.raises(InputError, match="max_mmacs is 1000"):
        highest_level(plain, huge)
    with pytest.raises(InputError, match="max_rtf is 1000"):
        require_max_rtf(huge)
