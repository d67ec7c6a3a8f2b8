"""Check the values of a dataclass; errors name them as a configuration does."""

from __future__ import annotations

from sese.core.errors import InputError


def at_least(settings: object, lowest: int, section: str, *names: str) -> None:
    """Refuse values below a bound, and NaN.

    Args:
        settings: Object that has the values.
        lowest: Lowest value that is allowed.
        section: Section of the configuration, such as ``training.routing``; empty at the top.
        names: Names of the values.

    Raises:
        InputError: A value is refused; the message names the first one.
    """
    for name in names:
        value = getattr(settings, name)
        if not value >= lowest:
            raise InputError(f"{_place(section, name)} is {value}; use {lowest} or more")


def above_zero(settings: object, section: str, *names: str) -> None:
    """Refuse values that are 0 or below, and NaN. The arguments are those of `at_least`."""
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise InputError(f"{_place(section, name)} is {value}; use a number above 0")


def shares(settings: object, section: str, *names: str) -> None:
    """Refuse values that are not from 0 to 1. The arguments are those of `at_least`."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise InputError(f"{_place(section, name)} is {value}; use a number from 0 to 1")


def inner_shares(settings: object, section: str, *names: str) -> None:
    """Refuse values that are not above 0 and below 1. The arguments are those of `at_least`."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < 1:
            raise InputError(f"{_place(section, name)} is {value}; use a share above 0 and below 1")


def _place(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name
