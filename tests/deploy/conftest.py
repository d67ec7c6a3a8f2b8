"""The programs in C++ and JavaScript as fixtures, and a real noisy file to run them on."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.programs import JAVASCRIPT, node
from native.building import ROOT, Missing
from native.fixtures import built, speech

__all__ = ["built", "speech"]

Command = list[str | Path]


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
        return [request.getfixturevalue("built") / "native" / "sese_enhance"]
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
