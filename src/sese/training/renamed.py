"""New names of configuration keys and values; the old ones still work for one release, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from sese.core.errors import InputError

KEYS = {
    "training.levels": "training.method",
    "training.level_shares": "training.random_level.shares",
    "training.hand_over": "training.random_level.switching",
    "training.rest": "training.random_level.rest",
}
"""Old dotted key -> new dotted key."""

METHODS = {
    "deal": "random_level",
    "all": "all_levels",
    "routed": "routing",
    "measured": "routing_from_errors",
    "gated": "pruning",
    "listened": "activity",
    "boosted": "boosting",
    "purified": "purification",
}
"""Old value of `training.method` -> new value."""

FAMILY = ("sese_1", "spectral_mixer")
"""Old and new name of a family of configurations; only errors know the old one."""

_SHOWN: dict[str | tuple[str, type[Warning], int], int] = {}
"""Warnings that were shown, kept by `warnings`."""


def key(name: str) -> str:
    """Return the new name of a dotted key, with a warning if that differs.

    Args:
        name: as ``training.levels``; keys that were not renamed are returned as they are.

    Example:
        >>> key("training.steps")
        'training.steps'
    """
    new = KEYS.get(name, name)
    if new != name:
        _warn(f"{name} is now {new}; write the new name, the next release will not know the old one")
    return new


def value(name: str, given: Any) -> Any:
    """Return a key's value under its new name, with a warning if that differs.

    Args:
        name: new dotted name of the key.
        given: its value; anything but an old name of a training method is returned as it is.
    """
    if name != "training.method" or not isinstance(given, str) or given not in METHODS:
        return given
    new = METHODS[given]
    _warn(f"{name} '{given}' is now '{new}'; write the new name, the next release will not know the old one")
    return new


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with new names in place of old ones.

    Args:
        values: sections of a configuration, as YAML holds them; left unchanged.

    Raises:
        InputError: both an old key and its new one are there.
    """
    result = dict(values)
    training = result.get("training")
    if not isinstance(training, Mapping):
        return result
    result["training"] = training = dict(training)
    for old in KEYS:
        leaf = old.removeprefix("training.")
        if leaf not in training:
            continue
        node, given = training, training.pop(leaf)
        *parents, last = key(old).removeprefix("training.").split(".")
        for parent in parents:
            inner = node.get(parent) or {}
            if not isinstance(inner, Mapping):
                return result  # the section's own check says what is wrong
            node[parent] = node = dict(inner)
        if last in node:
            raise InputError(f"{old} is the old name of {KEYS[old]}, and both are given; leave {old} out")
        node[last] = given
    if "method" in training:
        training["method"] = value("training.method", training["method"])
    return result


def _warn(text: str) -> None:
    """Warn in one line, once for each text: where the code reads the name says nothing to the user."""
    warnings.warn_explicit(text, FutureWarning, "configuration", 1, registry=_SHOWN)
