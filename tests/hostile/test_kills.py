"""A few kills; `python tests/hostile/kills.py` has fifty of each job."""

from __future__ import annotations

import pytest
from kills import JOBS, torment

QUICK = ("enhance", "mix")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in JOBS]
)
def test_nothing_is_lost(name: str):
    torment(JOBS[name], kills=3, seed=4)
