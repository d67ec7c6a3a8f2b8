"""Views of a tensor under another shape: of a chain of them in a traced graph the last one is enough.

Parts of a network that are traced one after the other shape the same values again and again. Each operator
that only does so takes a quarter of a microsecond; an exchange of an axis of size one copies.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""Operators that return their first input under another shape."""


def with_short_views(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Shorten chains of views in a traced graph, in place, and return the graph.

    An exchange of axes that leaves the values in order becomes a view where the shape before it is known.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers: dict[str, onnx.NodeProto] = {}
    shapes: dict[str, list[int]] = {}
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in shapes:
            target = _kept_in_order(shapes[node.input[0]], helper.get_attribute_value(node.attribute[0]))
            if target is not None:
                name = f"{node.output[0]}.shape"
                constants[name] = np.array(target)
                graph.initializer.append(numpy_helper.from_array(constants[name], name))
                view = helper.make_node("Reshape", [node.input[0], name], list(node.output), allowzero=1)
                node.CopyFrom(view)
        if node.op_type == "Reshape" and node.input[1] in constants and constants[node.input[1]].all():
            shapes[node.output[0]] = constants[node.input[1]].tolist()
            while node.input[0] in makers:
                node.input[0] = makers[node.input[0]].input[0]
        if node.op_type in VIEWS:
            makers[node.output[0]] = node
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for node in reversed(graph.node):
        if node.output[0] in makers and node.output[0] not in used:
            graph.node.remove(node)
    return graph


def with_direct_parts(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Read a part of a concatenation from where it came, in place, and return the graph.

    The graph must know the sizes of values. A slice that is one of the joined values needs no operator, and
    does not wait for the others.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    joined: dict[str, onnx.NodeProto] = {}
    direct: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [direct.get(name, name) for name in node.input]
        if node.op_type == "Concat":
            joined[node.output[0]] = node
        if node.op_type == "Slice" and node.input[0] in joined and constants.keys() >= set(node.input[1:]):
            concat, cuts = joined[node.input[0]], [constants[name].tolist() for name in node.input[1:]]
            axis, at = helper.get_node_attr_value(concat, "axis"), 0
            for part in concat.input:
                size = shapes[part][axis] if part in shapes else 0
                if size and cuts == [[at], [at + size], [axis], [1]][: len(cuts)] and len(cuts) > 2:
                    direct[node.output[0]] = part
                at += size
                if not size:
                    break
    kept = [node for node in graph.node if node.output[0] not in direct]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    return graph


def _kept_in_order(shape: list[int], order: list[int]) -> list[int] | None:
    """Return the shape after an exchange of axes, or None where it changes the order of the values.

    Example:
        >>> _kept_in_order([-1, 1, 3], [1, 0, 2]), _kept_in_order([-1, 2, 3], [1, 0, 2])
        ([1, -1, 3], None)
    """
    moved = [axis for axis in order if shape[axis] != 1]
    return [shape[axis] for axis in order] if moved == sorted(moved) else None
