"""Tables in Markdown."""

from __future__ import annotations

import doctest

from sese.audio import mel
from sese.core import tables


def test_examples_in_docstrings() -> None:
    for module in (tables, mel):
        assert doctest.testmod(module).failed == 0


def test_a_number_that_is_not_finite_has_no_interval() -> None:
    assert tables.with_interval(dict.fromkeys(("mean", "low", "high"), float("nan")), 2) == "–"
