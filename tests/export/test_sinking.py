"""Operators move into the only branch that needs them, and the values stay the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper

from sese.export.graph import Initializers, Scope
from sese.export.sinking import sink

SHAPE = (TensorProto.FLOAT, [2])


def built() -> tuple[Scope, dict[str, str]]:
    """An `If` with an `If` in a branch, and operators in front for one branch, for both, and for others."""
    scope = Scope("", Initializers(), {"y": SHAPE, "inner": SHAPE})
    deep = scope.add("Exp", scope.add("Mul", "x", scope.constant([2, 2], np.float32)))
    one = scope.add("Sin", scope.add("Neg", "x"))
    both = scope.add("Abs", "x")
    shared = scope.add("Cos", "x")
    scope.take(helper.make_node("Identity", [shared], ["shared"]))
    then, otherwise = scope.inner("then"), scope.inner("otherwise")
    high, low = then.inner("high"), then.inner("low")
    inner = then.choose(
        "second",
        (high, {"inner": high.add("Add", deep, both)}),
        (low, {"inner": low.add("Add", both, shared)}),
    )
    scope.choose(
        "first",
        (then, {"y": inner["inner"]}),
        (otherwise, {"y": otherwise.add("Add", one, both)}),
    )
    return scope, {"y": "y", "shared": "shared"}


def run(scope: Scope, x: np.ndarray, first: bool, second: bool) -> list[np.ndarray]:
    """Return both outputs of the graph."""
    inputs = [helper.make_tensor_value_info("x", *SHAPE)]
    inputs += [helper.make_tensor_value_info(name, TensorProto.BOOL, [1]) for name in ("first", "second")]
    outputs = [helper.make_tensor_value_info(name, *SHAPE) for name in ("y", "shared")]
    graph = helper.make_graph(scope.nodes, "sunk", inputs, outputs, scope.own.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    given = {"x": x, "first": np.array([first]), "second": np.array([second])}
    return onnx.reference.ReferenceEvaluator(model).run(None, given)


def kinds(nodes: list[onnx.NodeProto], *path: str) -> list[str]:
    """Return the kinds of the operators of a graph, or of the branch under a path of names."""
    for name in path:
        graphs = [attribute.g for node in nodes for attribute in node.attribute if attribute.HasField("g")]
        (nodes,) = (graph.node for graph in graphs if graph.name == name)
    return [node.op_type for node in nodes]


def test_each_operator_moves_as_far_as_only_one_branch_needs_it() -> None:
    scope, results = built()
    sink(scope, results.values())
    assert kinds(scope.nodes) == ["Abs", "Cos", "Identity", "If"]
    assert kinds(scope.nodes, "then") == ["If"]
    assert kinds(scope.nodes, "then", "high") == ["Mul", "Exp", "Add"]
    assert kinds(scope.nodes, "otherwise") == ["Neg", "Sin", "Add"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_the_values_stay_the_same(first: bool, second: bool) -> None:
    x = np.array([0.3, -1.2], np.float32)
    before, (after, results) = built()[0], built()
    sink(after, results.values())
    for expected, got in zip(run(before, x, first, second), run(after, x, first, second), strict=True):
        np.testing.assert_array_equal(got, expected)
