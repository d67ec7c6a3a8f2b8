"""Read a budget and a cost limit for a model: who picks the level of a frame, and from which levels.

| budget | who picks the level of a frame |
| --- | --- |
| a number in (0, 1] | nobody: the highest level within this share of compute always runs |
| a number below 1, for a model that rests | its dial: it rests, or runs the highest level whose mean stays within the number; below `rests_from`, nobody: the lowest level |
| ``"fastest"``, ``"balanced"``, ``"best"`` | as the number of a level, see `sese.runtime.presets` |
| ``"auto"`` | the router, freely; a dial rests where it can, and in doubt runs the level below the highest |
| ``"fixed:U"`` | nobody: the level with the share of compute U always runs |
| ``"threshold"``, ``"threshold:DB"`` | a running estimate of the SNR, see `sese.runtime.threshold` |
| ``"held:U"`` | the router, which holds U as the mean share of compute |

``"held:U"`` is there to measure routers, as papers use them: it takes more time than the level below U. A
number below the lowest level is refused, as the model cannot stay within it.

Levels that are alternatives, as experts are, cost the same. There, ``"fixed:2"`` is the second level; 1 and
the presets mean ``"auto"`` where a gate picks a level, else the last level; nothing else is allowed.
"""  # noqa: E501

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sese.core.errors import InputError
from sese.runtime.card import Card
from sese.runtime.presets import PRESETS, preset_share

Budget = float | str

SLACK = 1e-6  # 1/3 as a decimal selects the level 1/3

PAUSES = 1 / 4
"""Share of the time at rest, at most, with which a number is to reach the second level; see `rests_from`."""


@dataclass(frozen=True)
class Fixed:
    """One level, counted from 0, the lowest."""

    level: int


@dataclass(frozen=True)
class Routed:
    """The router holds this mean share of compute, in (0, 1]; a dial stays within it; 0: either is free."""

    utilization: float


@dataclass(frozen=True)
class Threshold:
    """An estimate of the SNR, taken as `shift_db` lower than it is: more dB use more compute."""

    shift_db: float


Rule = Fixed | Routed | Threshold


def parse_budget(card: Card, budget: Budget) -> Rule:
    """Read a budget for a model; the table above lists the budgets.

    Models with gates take 1 or a preset, and their gates decide.

    Raises:
        InputError: The budget is not in the table, the model has no such level or no router, or the number
            is below the lowest level or above 1.
    """
    if isinstance(budget, str) and budget in PRESETS:
        return _share(card, budget, preset_share(card, budget))
    if budget == "auto":
        if card.router:
            return Routed(0.0)
        raise InputError(
            f"budget 'auto' needs a router and {card.name} has none; give one of its levels: {_levels(card)}"
        )
    word, colon, value = budget.partition(":") if isinstance(budget, str) else ("", "", "")
    if card.alternatives and (word in ("threshold", "held") or (not colon and _number(budget) != 1)):
        raise InputError(
            f"budget is {budget!r} and the levels of {card.name} are experts that cost the same; give "
            + ("1 or 'auto', where its gate picks one, or " if card.router else "")
            + f"one of them: {_levels(card)}"
        )
    if word == "fixed" and colon:
        return Fixed(_level_of(card, budget, _number(value)))
    if word == "threshold" and not card.gates:  # where gates decide, it would run all of the network
        shift = _number(value) if colon else 0.0
        if not math.isfinite(shift):
            raise InputError(f"budget is {budget!r}; give 'threshold', or 'threshold:DB' with a number of dB")
        return Threshold(shift)
    if word == "held" and colon:
        return _held(card, budget, _number(value))
    return _share(card, budget, _number(budget))


def highest_level(card: Card, max_mmacs: float | None) -> int:
    """Return the index of the highest level that costs at most `max_mmacs`.

    Args:
        card: Facts about the model.
        max_mmacs: Limit in million MACs per second of one channel; None for no limit.

    Raises:
        InputError: `max_mmacs` is not a number, or even the lowest level costs more.
    """
    if max_mmacs is None:
        return len(card.levels) - 1
    costs = [level.macs_per_second / 1e6 for level in card.levels]
    limit = _number(max_mmacs)
    if not limit >= costs[0] * (1 - SLACK):
        raise InputError(
            f"max_mmacs is {max_mmacs!r}; give {_round_up(costs[0])} or more: the lowest level of "
            f"{card.name} costs {costs[0]:,.1f} million MACs per second, the highest {costs[-1]:,.1f}"
        )
    return max(i for i, cost in enumerate(costs) if cost <= limit * (1 + SLACK))


def _share(card: Card, budget: Budget, value: float) -> Rule:
    used = [level.utilization for level in card.levels]
    if card.alternatives:
        return Routed(0.0) if card.router else Fixed(len(used) - 1)
    if card.gates:
        if value != 1:
            raise InputError(
                f"budget is {budget!r} and in {card.name} gates decide; give 1 or 'auto' for that, or "
                "'fixed:1' for the whole network"
            )
        return Routed(0.0)  # with the full budget the network runs as it was trained
    if not used[0] - SLACK <= value <= 1:
        raise InputError(
            f"budget is {budget!r}; give a number from {used[0]:g}, the lowest level, to 1, 'fastest', "
            + "'balanced', 'best', "
            + ("'auto', " if card.router else "")
            + "'fixed:LEVEL' or 'threshold'"
            + f" (levels of {card.name}: {_levels(card)})"
        )
    if rests_from(card) - SLACK <= value < used[-1] - SLACK:
        return Routed(value)
    return Fixed(max(i for i, level in enumerate(used) if level <= value + SLACK))


def rests_from(card: Card) -> float:
    """Return the lowest number at which a model rests; infinity where it never does.

    At its lowest level a model saves less time at rest than the detection of speech takes, one frame a call.
    Rests pay where they make room for the second level, with pauses of a quarter of the time or less.
    """
    if not card.rests or len(card.levels) < 2:
        return math.inf
    return (1 - PAUSES) * card.levels[1].utilization


def _held(card: Card, budget: Budget, value: float) -> Rule:
    lowest = card.levels[0].utilization
    if not card.router or card.gates:
        raise InputError(
            f"budget is {budget!r} and {card.name} has no router that holds a mean; give one of its levels: "
            f"{_levels(card)}"
        )
    if not lowest - SLACK <= value <= 1:
        raise InputError(f"budget is {budget!r}; give 'held:SHARE', from {lowest:g}, the lowest level, to 1")
    return Routed(value)


def level_name(card: Card, index: int) -> str:
    """Return the name of a level: its share of compute, or the number of an alternative, counted from 1.

    ``fixed:`` and this name are the budget that asks for the level.
    """
    return f"{index + 1}" if card.alternatives else f"{card.levels[index].utilization:g}"


def _level_of(card: Card, budget: Budget, value: float) -> int:
    for index, level in enumerate(card.levels):
        if abs((index + 1 if card.alternatives else level.utilization) - value) <= SLACK:
            return index
    raise InputError(f"budget is {budget!r}; {card.name} has the levels {_levels(card)}")


def _levels(card: Card) -> str:
    fixed = "fixed:" if card.alternatives else ""
    return ", ".join(fixed + level_name(card, index) for index in range(len(card.levels)))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _round_up(cost: float) -> str:
    """Return the cost as a short decimal that is no lower than it."""
    return f"{math.ceil(1000 * cost * (1 - SLACK)) / 1000:.10g}"
