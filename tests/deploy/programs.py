"""Run the programs in C++ and JavaScript that enhance a file."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from native.building import ROOT, Missing, run

JAVASCRIPT = ROOT / "examples" / "javascript"
REPORT = re.compile(
    r"(?P<seconds>[\d.]+) s of audio, (?P<frames>\d+) frames of [\d.]+ ms: median (?P<median>[\d.]+) ms, "
    r"99th percentile (?P<p99>[\d.]+) ms, real-time factor (?P<factor>[\d.]+), "
    r"share of compute (?P<utilization>[\d.]+)\n"
)


@dataclass(frozen=True)
class Printed:
    """Report of a program on one file: milliseconds a frame, and the mean share of compute."""

    frames: int
    median: float
    p99: float
    utilization: float


def node() -> str:
    """The Node.js to run the example with.

    Raises:
        Missing: Node.js or the example's packages are not here.
    """
    if (found := shutil.which("node")) is None:
        raise Missing("Node.js is not installed")
    if not (JAVASCRIPT / "node_modules" / "onnxruntime-node").is_dir():
        raise Missing("the example's packages are not installed; run `npm ci` in examples/javascript")
    return found


def printed(command: list[str | Path]) -> Printed:
    """Run a program that enhances a file, and read what it says."""
    found = REPORT.fullmatch(run(command))
    assert found is not None
    return Printed(
        int(found["frames"]), float(found["median"]), float(found["p99"]), float(found["utilization"])
    )
