"""Tables in Markdown."""

from __future__ import annotations

from sese.core import tables


def test_a_number_that_is_not_finite_has_no_interval() -> None:
    assert tables.with_interval(dict.fromkeys(("mean", "low", "high"), float("nan")), 2) == "–"
