"""The benchmark that people run on their devices: one file, without the extras."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.tiny_model import metadata, write_model

FILE = Path(__file__).parents[2] / "benchmarks" / "device.py"
EXTRAS = (
    "torch",
    "onnx",
    "pesq",
    "pystoi",
    "matplotlib",
    "lightning",
    "scipy",
    "onnxscript",
    "yaml",
    "pandas",
)
CORE_ALONE = f"""
import runpy, sys
sys.modules |= dict.fromkeys({EXTRAS})
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def ran(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a copy of the file in a folder of its own, where the packages of the extras cannot be imported."""
    copy = folder / "device.py"
    shutil.copyfile(FILE, copy)
    command = [sys.executable, "-c", CORE_ALONE, str(copy), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def write_peer(path: Path, shape: tuple[int, ...], swapped: bool = False) -> Path:
    """Write a network that returns its input, and two states of different size in order, or not."""
    value = helper.make_tensor_value_info
    sizes = {"a": (1, 3), "b": (1, 5)}
    inputs = [
        value("in", TensorProto.FLOAT, shape),
        *(value(n, TensorProto.FLOAT, s) for n, s in sizes.items()),
    ]
    order = sorted(sizes, reverse=swapped)
    outputs = [value("out", TensorProto.FLOAT, shape)]
    outputs += [value(f"next_{name}", TensorProto.FLOAT, sizes[name]) for name in order]
    nodes = [helper.make_node("Identity", ["in"], ["out"])]
    nodes += [helper.make_node("Identity", [name], [f"next_{name}"]) for name in sizes]
    model = helper.make_model(
        helper.make_graph(nodes, "peer", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 9
    onnx.save(model, path)
    return path


def test_rows_of_a_device(tiny: Path, tmp_path: Path) -> None:
    peer = write_peer(tmp_path / "peer.onnx", (1, 257, 1, 2))
    done = ran(tmp_path, tiny, "--seconds", 0.2, "--name", "a | b", "--peer", f"Peer={peer}")
    assert done.returncode == 0, done.stderr
    assert "about 0 s" in done.stderr
    head, rule, model, other = (cells(line) for line in done.stdout.splitlines())
    assert len(head) == len(rule) == len(model) == len(other)
    assert all(head)
    row = dict(zip(head, model, strict=True))
    assert row["machine"] == "a / b"
    assert re.fullmatch(r"3\.\d+\.\d+", row["Python"])
    assert row["budgets"] == "0.12 / 0.25 / 0.5 / 1"
    for column in ("ms for 16 ms, streams", "real-time factor, files"):
        values = [float(value) for value in row[column].split(" / ")]
        assert len(values) == 4
        assert all(0 < value < 50 for value in values), column
    assert int(row["memory, MB"]) > 20
    row = dict(zip(head, other, strict=True))
    assert row["network"] == "Peer"
    assert 0 < float(row["ms for 16 ms, streams"]) < 50
    assert row["memory, MB"] == ""


def test_a_model_that_rests_has_two_more_columns(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx", facts=metadata(router=True, rests=True))
    done = ran(tmp_path, model, "--seconds", 0.1)
    assert done.returncode == 0, done.stderr
    assert " 0.12 / 0.25 / 0.5 / 1 / auto / rest " in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "nothing"),
        (["--seconds", "0"], "--seconds is 0; give a number above 0"),
        (["--seconds", "nan"], "--seconds is nan; give a number above 0"),
        (["--peer", "missing.onnx"], "--peer is 'missing.onnx'; give NAME=PATH.onnx"),
        (["--peer", "P=missing.onnx"], "there is no file missing.onnx"),
        (["--peer", "P=device.py"], "device.py cannot be run"),
        (["--peer", "P=swapped.onnx"], "does not return its states in the order"),
        (["--rnnoise", "missing.so"], "missing.so is not a library of RNNoise"),
    ],
)
def test_bad_input_is_one_line(tiny: Path, tmp_path: Path, words: list[str], said: str) -> None:
    write_peer(tmp_path / "swapped.onnx", (1, 512), swapped=True)
    done = ran(tmp_path, *([] if words == ["nothing"] else [tiny]), *words)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("device: error: ")
    assert said in line


def test_times_are_medians_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FILE.parent))
    import device

    calls: list[str] = []

    def feed(name: str, values: tuple[float, ...]):
        def run() -> float:
            calls.append(name)
            return values[calls.count(name) % len(values)]

        return run

    medians = device.time_in_turn([feed("a", (1.0, 1.0, 100.0)), feed("b", (2.0,))], 0.0)
    assert medians == [1.0, 2.0]
    assert calls[: 2 * device.RUN] == ["a"] * device.RUN + ["b"] * device.RUN
    assert len(calls) == 2 * device.RUN * (1 + device.LEAST_TURNS)
    assert device._joined([0.12345, 1.5, 23.456, 0.000012]) == "0.123 / 1.50 / 23.5 / 0.0000"
    assert np.isfinite(float(device.peak_mb()))
