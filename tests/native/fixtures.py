"""Fixtures of all tests of programs around a model: what was built, and real noisy speech."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from native.building import ROOT, Missing, build_once

FILES = ("playground.wav", "dryer.wav")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what was built in C and C++, by one of the test processes for all."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    try:
        return build_once(shared / "native")
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Three seconds of two noisy recordings at 16 kHz, ``[channel, time]``, no whole number of frames."""
    recordings = [soundfile.read(ROOT / "examples" / name, dtype="float32")[0] for name in FILES]
    return np.stack([recording[16000:64123] for recording in recordings])
