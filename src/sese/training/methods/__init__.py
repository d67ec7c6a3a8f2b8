"""Training methods by name. Each is the file of its name, with its configuration, losses and checks."""

from __future__ import annotations

from importlib import import_module

from sese.training.methods.method import Method

_NAMES = (
    "activity",
    "all_levels",
    "boosting",
    "contrastive",
    "full",
    "gating",
    "masks",
    "milestones",
    "mixture",
    "pruning",
    "purification",
    "random_level",
    "routing",
    "routing_from_errors",
    "sandwich",
    "specialists",
)

METHODS: dict[str, Method] = {name: import_module(f"sese.training.methods.{name}").METHOD for name in _NAMES}
"""Value of `training.method` -> method."""

SETTINGS = {name: kind for method in METHODS.values() for name, kind in method.settings.items()}
"""Section of `training` that belongs to methods -> dataclass."""
