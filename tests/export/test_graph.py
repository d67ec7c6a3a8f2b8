"""Graphs in the making: what is stored once."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sese.export.graph import SMALL, Initializers, Scope, embed, wholes_of


def adder(values: np.ndarray) -> onnx.GraphProto:
    """x + the sum of a weight."""
    nodes = [
        helper.make_node("ReduceSum", ["weight"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in "xy")
    weight = numpy_helper.from_array(values.astype(np.float32), "weight")
    return helper.make_graph(nodes, "adder", [x], [y], [weight])


def test_beginnings_of_a_weight_are_cut_from_it():
    whole = np.random.default_rng(0).standard_normal((SMALL, 3))
    other = whole[: SMALL // 2] + 1
    graphs = [adder(values) for values in (whole[: SMALL // 2], whole, other)]
    scope, wholes = Scope("all", Initializers(), {}), wholes_of(graphs)
    value = "x"
    for graph in graphs:
        value = embed(scope, graph, {"x": value}, wholes)["y"]
    assert [list(tensor.dims) for tensor in scope.initializers.tensors] == [[SMALL, 3], [SMALL // 2, 3]]
    scope.take(helper.make_node("Identity", [value], ["y"]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in "xy")
    tensors = [*scope.initializers.tensors, *scope.own.tensors]
    graph = helper.make_graph(scope.nodes, "all", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = 2 + whole[: SMALL // 2].sum() + whole.sum() + other.sum()
    assert abs(session.run(None, {"x": np.array(2, np.float32)})[0] - expected) < 1e-4


def test_nodes_that_are_joined_by_name_have_names_of_their_own():
    """ONNX Runtime 1.20 opened no file in which two groups of them had none."""
    outer = Scope("", Initializers(), {})
    inner = outer.inner("branch")
    for scope in (outer, inner):
        scope.add("Gather", "x", scope.constant(0))
        values = dict(zip(("start", "end", "axis"), map(scope.constant, ([0], [1], [0])), strict=True))
        node = helper.make_node("Slice", ["x", *values], ["part"], name="slice")
        scope.embed([node], {"x": "x"} | values)
        scope.embed([node], {"x": "x"} | values)
    names = [node.name for scope in (outer, inner) for node in scope.nodes]
    assert all(names)
    assert len(set(names)) == 6
