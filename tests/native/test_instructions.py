"""The count of instructions, of the library as it was built."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from runtime.tiny_model import HOP
from sese.core.errors import InputError

ROOT = Path(__file__).parents[2]
HEADER = Path("/usr/include/valgrind/callgrind.h")


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if shutil.which("valgrind") is None or not HEADER.is_file():
        pytest.skip("valgrind with its headers is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("instructions")


def test_opening_drops_out(instructions: ModuleType, built: Path, tiny: Path, tmp_path: Path) -> None:
    """The instructions of a frame do not depend on the number of frames, and hardly on an equal level."""
    means = []
    for frames in (4, 12):
        counter = instructions.Counter(tmp_path, built, frames)
        words = [("low", "fixed:0.125", "speech"), ("high", "fixed:1", "speech")]
        low, high = counter.count("sese", tiny / "model.onnx", words)
        assert [low.name, high.name] == ["low", "high"]
        assert [low.utilization, high.utilization] == pytest.approx([0.125, 1.0])
        assert low.milliseconds == HOP / 16
        assert low.instructions == pytest.approx(high.instructions, rel=0.1)
        means.append(high.instructions)
    assert means[0] == pytest.approx(means[1], rel=0.05)
    assert 10_000 < means[0] < 10_000_000
    assert counter.features


def test_a_file_that_does_not_open_is_one_line(
    instructions: ModuleType,
    built: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "peer.onnx").write_text("nothing")
    counter = instructions.Counter(tmp_path, built, 1)
    with pytest.raises(InputError, match=r"^valgrind failed \(.+\); give files") as refused:
        counter.count("onnx", tmp_path / "peer.onnx", [("Peer", "", "speech")])
    assert "\n" not in str(refused.value)
