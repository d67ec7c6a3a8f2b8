"""Arithmetic of the count of instructions, and of the bytes that a frame uses."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from runtime.tiny_model import HOP, LOOKAHEAD, write_model  # noqa: E402
from sese.core.errors import InputError  # noqa: E402

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PRINTED = """features SSE4.1 AVX2 FMA
case 256 0.060000 0.06
case 256 0.000000 rest
case 256 0.750000 auto
"""
DUMP = """# callgrind format
version: 1
creator: callgrind-3.19.0
part: {part}

desc: I1 cache:
desc: Timerange: Basic block 0 - 1234
desc: Trigger: {trigger}

positions: line
events: Ir
summary: 7

fn=(1) run
0 {total}

totals: {total}
"""
DUMPS = [
    DUMP.format(part=2, trigger="Client Request: rest", total=20_000_000),
    DUMP.format(part=1, trigger="Client Request: 0.06", total=40_000_000),
    DUMP.format(part=3, trigger="Client Request: auto", total=120_000_000),
    DUMP.format(part=4, trigger="Program termination", total=11),
]


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("instructions")


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("touched")


def test_instructions_of_a_frame(instructions: ModuleType) -> None:
    cases = instructions.read_cases(PRINTED, DUMPS, "mixer", 16_000, 20)
    assert [(case.name, case.instructions) for case in cases] == [
        ("0.06", 2_000_000),
        ("rest", 1_000_000),
        ("auto", 6_000_000),
    ]
    assert [case.of_16_ms for case in cases] == [2_000_000, 1_000_000, 6_000_000]
    assert instructions.read_features(PRINTED) == "SSE4.1 AVX2 FMA"


def test_other_lengths_of_frames_count_as_16_ms(instructions: ModuleType) -> None:
    dump = DUMP.format(part=1, trigger="Client Request: RNNoise", total=80_000_000)
    (case,) = instructions.read_cases("case 480 1.000000 RNNoise\n", [dump], "librnnoise", 48_000, 20)
    assert case.milliseconds == 10
    assert case.of_16_ms == pytest.approx(6_400_000)


def test_table(instructions: ModuleType, touched: ModuleType) -> None:
    cases = instructions.read_cases(PRINTED, DUMPS, "mixer", 16_000, 20)
    peer = instructions.Case("Peer", "Peer", 16.0, 3e6, 1.0, touched.Touched(None, 2_500))
    head, rule, *rows = instructions.table([*cases, peer])
    assert head.count("|") == rule.count("|")
    assert rows == [
        "| mixer | 0.06 | 2.00 | 1.00 |  |  |",
        "| mixer | rest | 1.00 | 0.50 |  |  |",
        "| mixer | auto, share 0.75 | 6.00 | 3.00 |  |  |",
        "| Peer |  | 3.00 | 1.50 |  | 2.5 |",
    ]


def test_a_case_without_a_count_is_refused(instructions: ModuleType) -> None:
    with pytest.raises(InputError, match="counted nothing for mixer, rest"):
        instructions.read_cases(PRINTED, DUMPS[1:], "mixer", 16_000, 20)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build"], "build has no CMakeCache.txt"),
        (["build", "--frames", "0"], "--frames is 0; use 1 to 1000"),
        (["build", "--peer", "gtcrn.onnx"], "got 'gtcrn.onnx'; give NAME=PATH.onnx"),
        (["build", "--peer", "GTCRN=gtcrn.onnx"], "there is no file gtcrn.onnx"),
    ],
)
def test_bad_input(
    instructions: ModuleType,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["instructions.py", words[0], str(tiny), *words[1:]])
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        instructions.main()


def test_a_build_of_something_else_is_refused(instructions: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "CMakeCache.txt").write_text("CMAKE_CXX_COMPILER:FILEPATH=/usr/bin/c++\n")
    with pytest.raises(InputError, match=r"has no libsese\.so"):
        instructions.compile_command(tmp_path, tmp_path / "program")


def write_levels(path: Path) -> Path:
    """Write a model whose levels are slices of a matrix, with a state of its own at the upper level.

    At level -1 the signal decides.
    """
    value = helper.make_tensor_value_info

    def constant(name: str, array: object, kind: type = np.int64) -> object:
        return numpy_helper.from_array(np.asarray(array, kind), name)

    def branch(name: str, nodes: list[object]) -> object:
        outputs = [
            value(f"{name}_out", TensorProto.FLOAT, None),
            value(f"{name}_next", TensorProto.FLOAT, None),
        ]
        return helper.make_graph(nodes, name, [], outputs)

    lower = [
        helper.make_node("Slice", ["matrix", "zero", "four", "rows"], ["part"]),
        helper.make_node("Slice", ["part", "zero", "four", "columns"], ["square"]),
        helper.make_node("Slice", ["audio", "zero", "four", "time"], ["first"]),
        helper.make_node("MatMul", ["first", "square"], ["low_out"]),
        helper.make_node("Identity", ["state.upper"], ["low_next"]),
    ]
    upper = [
        helper.make_node("MatMul", ["audio", "matrix"], ["high_made"]),
        helper.make_node("Add", ["high_made", "state.upper"], ["high_out"]),
        helper.make_node("Identity", ["high_out"], ["high_next"]),
    ]
    deciding = {
        side: helper.make_graph(
            [helper.make_node("Identity", [source], [side])],
            side,
            [],
            [value(side, TensorProto.BOOL, None)],
        )
        for side, source in {"then": "speech", "else": "asked"}.items()
    }
    nodes = [
        helper.make_node("Less", ["level", "zero"], ["automatic"]),
        helper.make_node("ReduceMax", ["audio"], ["loud"], keepdims=0),
        helper.make_node("Greater", ["loud", "limit"], ["speech"]),
        helper.make_node("Greater", ["level", "zero"], ["asked"]),
        helper.make_node("If", ["automatic"], ["whole"], **{f"{k}_branch": v for k, v in deciding.items()}),
        helper.make_node(
            "If",
            ["whole"],
            ["enhanced", "next"],
            then_branch=branch("high", upper),
            else_branch=branch("low", lower),
        ),
    ]
    initializers = [
        constant("matrix", np.random.default_rng(0).normal(size=(8, 8)), np.float32),
        constant("limit", 0.5, np.float32),
        *(
            constant(name, [number])
            for name, number in {"zero": 0, "four": 4, "rows": 0, "columns": 1, "time": 2}.items()
        ),
    ]
    inputs = [
        value("audio", TensorProto.FLOAT, (1, 1, "time")),
        value("level", TensorProto.INT64, ("frames",)),
        value("state.upper", TensorProto.FLOAT, (1, 1, 8)),
    ]
    outputs = [value("enhanced", TensorProto.FLOAT, None), value("next", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "levels", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def test_bytes_of_a_level(touched: ModuleType, tmp_path: Path) -> None:
    path = write_levels(tmp_path / "model.onnx")
    low, high, rest = (touched.touched(path, 8, level) for level in (0, 1, touched.AUTOMATIC))
    assert high == touched.Touched(4 * 64, 4 * 8)  # the whole matrix, and the state
    assert low.states == 0  # it is passed on
    assert 4 * 16 <= low.weights <= 4 * 16 + 8 * 4  # a slice, perhaps with bounds of another
    assert low.weights < rest.weights < high.weights  # what decides, and the smaller branch


def test_bytes_of_the_tiny_model(touched: ModuleType, tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx")
    used = touched.touched(path, HOP, 0)
    assert used.states == 4 * (LOOKAHEAD + 1)
    assert 0 < used.weights < 1000


def test_a_file_that_is_no_network_is_refused(touched: ModuleType, tmp_path: Path) -> None:
    for content in (b"", b"not a network"):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be (opened|prepared)"):
            touched.touched(tmp_path / "model.onnx", HOP, 0)
