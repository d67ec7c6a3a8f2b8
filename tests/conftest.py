"""Fixtures for all tests: a tiny model, audio to feed it, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from command_line import Ran, Run, exit_code
from runtime.tiny_model import metadata, tone, write_model

pytest.register_assert_rewrite("contract")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model whose output at the full budget is its input."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny" / "model.onnx", facts=metadata()).parent


@pytest.fixture(scope="session")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model whose every output sample depends on all that was heard."""
    path = tmp_path_factory.mktemp("models") / "remembering" / "model.onnx"
    return write_model(path, memory=0.05, facts=metadata(name="remembering", router=True)).parent


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """A half-second 16-bit mono file at 16 kHz."""
    path = tmp_path / "noisy.wav"
    soundfile.write(path, tone(8000), 16000)
    return path


@pytest.fixture
def sese(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def run(*arguments: object) -> Ran:
        code = exit_code(*arguments)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow tests unless markers are chosen on the command line."""
    if not config.option.markexpr:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; run with -m slow"))
