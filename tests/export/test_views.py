"""Chains of views in a graph are shortened, and the values stay the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

from sese.export.views import with_direct_parts, with_short_views


def graph(nodes: list[onnx.NodeProto], **constants: list[int]) -> onnx.GraphProto:
    """A graph from x to y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    tensors = [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "views", [x], [y], tensors)


def run(traced: onnx.GraphProto, x: np.ndarray) -> np.ndarray:
    """Return the output of the graph for x."""
    model = helper.make_model(traced, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})[0]


def reshape(source: str, shape: str, made: str) -> onnx.NodeProto:
    """A view under a shape without zeros."""
    return helper.make_node("Reshape", [source, shape], [made], allowzero=1)


X = np.arange(12, dtype=np.float32).reshape(2, 6)
FLAT, TALL = {"flat": [-1, 6]}, {"tall": [-1, 1, 2, 3]}


@pytest.mark.parametrize(
    ("nodes", "constants", "left"),
    [
        ([reshape("x", "tall", "a"), reshape("a", "flat", "y")], FLAT | TALL, ["Reshape"]),
        (  # batch and frame change places, which moves nothing while there is one frame
            [
                reshape("x", "tall", "a"),
                helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0, 2, 3]),
                reshape("b", "flat", "y"),
            ],
            FLAT | TALL,
            ["Reshape"],
        ),
        (  # the last two axes do move
            [
                reshape("x", "tall", "a"),
                helper.make_node("Transpose", ["a"], ["b"], perm=[0, 1, 3, 2]),
                reshape("b", "flat", "y"),
            ],
            FLAT | TALL,
            ["Reshape", "Transpose", "Reshape"],
        ),
        (  # the view between is used besides
            [
                helper.make_node("Unsqueeze", ["x", "last"], ["a"]),
                reshape("a", "flat", "b"),
                helper.make_node("Squeeze", ["a", "last"], ["c"]),
                helper.make_node("Add", ["b", "c"], ["y"]),
            ],
            FLAT | {"last": [2]},
            ["Unsqueeze", "Reshape", "Squeeze", "Add"],
        ),
        (  # a size of zero means that of the input, which another input does not have
            [
                helper.make_node("Unsqueeze", ["x", "first"], ["a"]),
                helper.make_node("Reshape", ["a", "kept"], ["y"]),
            ],
            {"first": [0], "kept": [0, -1]},
            ["Unsqueeze", "Reshape"],
        ),
    ],
)
def test_chains_are_shortened(
    nodes: list[onnx.NodeProto], constants: dict[str, list[int]], left: list[str]
) -> None:
    traced = graph(nodes, **constants)
    expected = run(traced, X)
    short = with_short_views(traced)
    assert [node.op_type for node in short.node] == left
    np.testing.assert_array_equal(run(short, X), expected)


@pytest.mark.parametrize(
    ("start", "end", "direct"), [(0, 6, True), (6, 12, True), (0, 5, False), (1, 6, False), (4, 8, False)]
)
def test_a_part_of_a_concatenation_is_read_directly(start: int, end: int, direct: bool) -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Abs", ["x"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
        helper.make_node("Slice", ["both", "start", "end", "axis"], ["part"]),
        helper.make_node("Exp", ["part"], ["y"]),
    ]
    traced = graph(nodes, start=[start], end=[end], axis=[1])
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6]) for name in "ab"]
    traced.value_info.extend(shapes)
    expected = run(traced, X)
    made = with_direct_parts(traced)
    np.testing.assert_array_equal(run(made, X), expected)
    assert ("Slice" not in [node.op_type for node in made.node]) == direct
