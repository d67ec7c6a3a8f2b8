"""The examples' programs as fixtures, and a real noisy file to run them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from deploy.programs import JAVASCRIPT, ROOT, Missing, build_cpp, node

Command = list[str | Path]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what was built for C++."""
    try:
        return build_cpp(tmp_path_factory.mktemp("cpp"))
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def nodejs() -> str:
    """Path of a Node.js that can run the example."""
    try:
        return node()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["cpp", "javascript"])
def program(request: pytest.FixtureRequest) -> Command:
    """The command that enhances a file, in either language."""
    if request.param == "cpp":
        return [request.getfixturevalue("built") / "example" / "sese_enhance"]
    return [request.getfixturevalue("nodejs"), JAVASCRIPT / "enhance.js"]


@pytest.fixture(params=["cpp", "javascript"])
def pieces(request: pytest.FixtureRequest) -> Command:
    """The command that enhances raw samples in pieces, in either language."""
    if request.param == "cpp":
        return [request.getfixturevalue("built") / "pieces"]
    return [
        request.getfixturevalue("nodejs"),
        ROOT / "tests" / "deploy" / "pieces.js",
        JAVASCRIPT / "sese.js",
    ]


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Three seconds of two noisy recordings at 16 kHz, ``[channel, time]``, no whole number of frames."""
    recordings = [soundfile.read(ROOT / "examples" / name, dtype="float32")[0] for name in FILES]
    return np.stack([recording[16000:64123] for recording in recordings])


FILES = ("playground.wav", "dryer.wav")
