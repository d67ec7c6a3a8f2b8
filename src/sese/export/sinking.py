"""Move operators into the branch that needs them, so that they run only where it does.

The traced parts in front of an `If` compute values of which some serve one of its branches. In a call with
one frame that rests, for example, nobody needs the input of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import TensorProto

from sese.export.graph import SMALL, Scope
from sese.export.in_place import inputs_of


def sink(scope: Scope, results: Iterable[str]) -> None:
    """Move each node whose values only one branch of one `If` reads into this branch, in place.

    Args:
        scope: graph with all its nodes.
        results: names of its outputs, which stay.
    """
    constants = {tensor.name: tensor for tensor in scope.own.tensors}
    scope.nodes[:] = _sunk(scope.nodes, set(results), constants, scope)


def _sunk(
    nodes: Iterable[onnx.NodeProto], results: set[str], constants: Mapping[str, TensorProto], scope: Scope
) -> list[onnx.NodeProto]:
    """Return the nodes that stay of a graph; those of its branches are changed in place.

    Args:
        nodes: nodes in order.
        results: outputs of the graph.
        constants: its own initializers.
        scope: for new names.
    """
    kept: list[onnx.NodeProto] = []
    reads: dict[int, set[str]] = {}  # by number in `kept`: names that a node or its branches read
    inside: dict[tuple[int, int], tuple[onnx.GraphProto, list[onnx.NodeProto], set[str]]] = {}
    for node in reversed(list(nodes)):
        made = set(node.output)
        readers = [at for at in reads if reads[at] & made]
        if len(readers) == 1 and not made & results:
            branches = [branch for branch in inside if branch[0] == readers[0] and inside[branch][2] & made]
            if len(branches) == 1 and not made & set(kept[readers[0]].input):
                graph, moved, read = inside[branches[0]]
                copy = onnx.NodeProto()
                copy.CopyFrom(node)
                copy.input[:] = [_own(name, constants, graph, scope) for name in node.input]
                moved.append(copy)
                read.update(inputs_of(node))
                reads[readers[0]].update(inputs_of(node))
                continue
        reads[len(kept)] = set(inputs_of(node))
        if node.op_type == "If":
            for number, attribute in enumerate(node.attribute):
                read = {name for inner in attribute.g.node for name in inputs_of(inner)}
                read.update(value.name for value in attribute.g.output)
                inside[len(kept), number] = attribute.g, [], read
        kept.append(node)
    for graph, moved, _ in inside.values():
        whole = [*reversed(moved), *graph.node]
        own = {tensor.name: tensor for tensor in graph.initializer}
        stay = _sunk(whole, {value.name for value in graph.output}, own, scope)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in stay]
        del graph.node[:]
        graph.node.extend(copies)
    return kept[::-1]


def _own(name: str, constants: Mapping[str, TensorProto], graph: onnx.GraphProto, scope: Scope) -> str:
    """Return the name of a value in a branch: a small constant is copied, which costs less."""
    tensor = constants.get(name)
    if tensor is None or np.prod(tensor.dims) > SMALL:
        return name
    copy = graph.initializer.add()
    copy.CopyFrom(tensor)
    copy.name = scope.initializers.fresh()
    return copy.name
