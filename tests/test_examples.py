"""Examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "sese.audio.mel",
    "sese.bits.words",
    "sese.compression.study",
    "sese.core.tables",
    "sese.evaluation.conversations",
    "sese.evaluation.front",
    "sese.evaluation.metrics",
    "sese.evaluation.summary",
    "sese.quality.scores",
    "sese.training.loop",
    "sese.training.schedule",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    ran = doctest.testmod(importlib.import_module(name))
    assert ran.attempted
    assert not ran.failed
