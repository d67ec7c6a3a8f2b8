"""Recurrences over frames: loops of ONNX replace the markers that tracing leaves."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from sese.export.forms.gated_mixer import RECUR


def with_loops(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Replace each marked recurrence by a loop, h = keep h + added, in place, and return the graph.

    A marker's inputs are keep and added (frame, ...) and the state before the first frame (...); its output
    is the state after each frame.
    """
    for number, node in enumerate(graph.node):
        if node.op_type == RECUR:
            keep, added, state = node.input
            made = node.output[0]
            loop = helper.make_node(
                "Scan", [state, keep, added], [f"{made}_last", made], body=_body(), num_scan_inputs=2
            )
            graph.node[number].CopyFrom(loop)
    return graph


def _body() -> onnx.GraphProto:
    """Return the graph of one frame: (state before, keep, added) -> (state after, state after)."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        for names in (("before", "keep", "added"), ("after", "made"))
    )
    nodes = [
        helper.make_node("Mul", ["before", "keep"], ["kept"]),
        helper.make_node("Add", ["kept", "added"], ["after"]),
        helper.make_node("Identity", ["after"], ["made"]),
    ]
    return helper.make_graph(nodes, "recurrence", inputs, outputs)
