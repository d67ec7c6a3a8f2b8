"""The debug configuration made smaller still, and what a run left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sese.training.config import RunConfig, read

DEBUG = Path(__file__).parents[2] / "src" / "sese" / "configs" / "debug.yaml"
SMALLER = (
    "data.mix.seconds=0.25",
    "data.validation_clips=2",
    "data.validation_seconds=0.25",
    "training.precision=32-true",
    "training.batch_size=2",
    "training.steps=6",
    "training.validate_steps=3",
    "training.checkpoint_steps=3",
    "training.log_steps=1",
    "training.ema_decay=0.8",
)


def config(*overrides: str) -> RunConfig:
    return read(DEBUG, [*SMALLER, *overrides])


def checkpoint_of(folder: Path) -> dict[str, Any]:
    """All that a run resumes from, flat: weights, averaged weights, optimiser, schedule, counters."""
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(_leaves(saved, ""))


def assert_same_checkpoints(one: Path, other: Path) -> None:
    a, b = checkpoint_of(one), checkpoint_of(other)
    assert any(name.startswith("/current_model_state/") for name in a)  # the weights
    assert any(name.startswith("/state_dict/") for name in a)  # their averages
    assert any(name.startswith("/optimizer_states/") for name in a)
    assert set(a) == set(b)
    different = [name for name in a if not _same(a[name], b[name])]
    assert different == []


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, f"{name}/{key}")
    else:
        yield name, value
