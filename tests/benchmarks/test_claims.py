"""Tests of benchmarks/claims.py on known scores."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def claims(program: Callable[[str], ModuleType]) -> Any:
    return program("claims")


def scores(si_sdr: tuple[float, ...], used: float, macs: float) -> dict[str, Any]:
    files = len(si_sdr)
    return {
        "stoi": [0.5] * files,
        "si_sdr": list(si_sdr),
        "utilization": [used] * files,
        "macs_per_second": [macs] * files,
        "shares": [1.0, 0.0],
    }


def test_one_and_two_seeds_have_intervals_over_files_and_three_over_seeds(claims: Any) -> None:
    apart = np.array([0.0, 2.0, 4.0])
    assert claims.gain([np.full(3, 1.0)], 2) == "+1.00 (+1.00 to +1.00)"
    # The mean over the seeds is the same in every file: no spread over files, though the seeds differ.
    assert claims.gain([apart, 4 - apart], 2) == "+2.00 (+2.00 to +2.00); +2.00, +2.00"
    assert claims.gain([apart, apart + 1], 1).endswith("; +2.0, +3.0")
    assert not claims.gain([apart, apart], 2).startswith("+2.00 (+2.00 to +2.00)")
    # Student's t for two degrees of freedom is 4.303; the standard error of 1, 2, 3 is 0.577.
    assert claims.gain([np.full(3, float(seed)) for seed in (1, 2, 3)], 2) == "+2.00 (-0.48 to +4.48)"


def test_a_target_is_held_against_the_level_of_the_backbone_and_a_static_one(claims: Any) -> None:
    runs = {
        "backbone": [{"0": scores((0, 0), 0.125, 10), "1": scores((1, 3), 0.25, 20)}],
        "joint-0.1": [{"router": scores((2, 4), 0.2, 15)}],
        "static-0.25": [{"1": scores((3, 5), 0.25, 20)}],
    }
    tables = claims.compare(runs, scores((-5, 5), 1, 1))
    (levels,), (alone,) = tables["b"], tables["b, against a level trained alone"]
    assert levels["si_sdr, gain"] == "+1.00 (+1.00 to +1.00)"
    assert alone["si_sdr, gain"] == "-1.00 (-1.00 to -1.00)"
    assert levels["slimmable MACs saved"] == "20%"
    assert levels["all MACs saved"] == "25%"
    # Half-way between the two levels of the backbone, (0, 0) and (1, 3), lies (0.5, 1.5).
    (above,) = tables["a, against the slimmable model's levels"]
    assert above["si_sdr"].startswith("+2.00 (")
    assert "pesq_wb" not in above
