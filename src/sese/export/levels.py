"""All levels of a network from the trace of its widest: a level's weights are beginnings of the full ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from sese.errors import InputError
from sese.export.graph import Initializers, Scope
from sese.export.operators import ENTER, LEAVE


class Levels:
    """A traced network, to be run at any level.

    Args:
        traced: with the slimmable products marked.
        initializers: take the weights.
        prefixes: for each level, the weights by name of which it uses a beginning, and its length.
    """

    def __init__(
        self, traced: onnx.GraphProto, initializers: Initializers, prefixes: Sequence[Mapping[str, int]]
    ):
        self.nodes = list(traced.node)
        self.inputs = [value.name for value in traced.input]
        self.outputs = [value.name for value in traced.output]
        self.weights = {tensor.name: initializers.add(unwrapped(tensor)) for tensor in traced.initializer}
        self.lengths = {tensor.name: tensor.dims[0] for tensor in traced.initializer if tensor.dims}
        missing = {name for names in prefixes for name in names} - {
            name.removeprefix(MODULE) for name in self.weights
        }
        if missing:
            raise InputError(f"the traced network lacks the weight {min(missing)}; its levels cannot be cut")
        self.prefixes = prefixes

    def at(self, scope: Scope, level: int, inputs: Mapping[str, str]) -> dict[str, str]:
        """Run everything at one level; returns the outputs' names."""
        names = self.weights_at(scope, level) | {name: inputs[name] for name in self.inputs}
        known = scope.embed((_unmarked(node) for node in self.nodes), names)
        return {name: known[name] for name in self.outputs}

    def choose(
        self,
        scope: Scope,
        chosen: str,
        inputs: Mapping[str, str],
        lowest: int = 0,
        highest: int | None = None,
    ) -> dict[str, str]:
        """Run everything at the level that `chosen`, one number, names; halves the levels with every `If`."""
        highest = len(self.prefixes) - 1 if highest is None else highest
        if lowest == highest:
            return self.at(scope, lowest, inputs)
        middle = (lowest + highest) // 2
        below, above = scope.inner(f"to{middle}"), scope.inner(f"from{middle + 1}")
        return scope.choose(
            scope.add("LessOrEqual", chosen, scope.constant(middle)),
            (below, self.choose(below, chosen, inputs, lowest, middle)),
            (above, self.choose(above, chosen, inputs, middle + 1, highest)),
        )

    def gathered(
        self, scope: Scope, rows: str, served: Sequence[str], order: str, inputs: Mapping[str, str]
    ) -> dict[str, str]:
        """Run each row's slimmable products at its own level, the rows of a level together.

        Args:
            scope: to run in.
            rows: shape that lays a product's input out as one line a row: [batch * frame, -1].
            served: for each level, the indices of its rows.
            order: of each row, its place among the rows of all levels in turn.
            inputs: names of the network's inputs.
        """
        full = len(self.prefixes) - 1
        known = self.weights_at(scope, full) | {name: inputs[name] for name in self.inputs}
        makers = {name: node for node in self.nodes for name in node.output}
        products = {node.output[0]: _between(node, makers) for node in self.nodes if node.op_type == LEAVE}
        inside = {name for _, nodes in products.values() for node in nodes for name in node.output}
        for node in self.nodes:
            if node.op_type == LEAVE:
                enter, nodes = products[node.output[0]]
                x = scope.add("Reshape", known[enter.input[0]], rows)
                parts = []
                for level, indices in enumerate(served):
                    own = scope.add("Gather", x, indices)
                    own = scope.add("Reshape", own, scope.constant([-1, _features(enter)]))
                    names = known | self.weights_at(scope, level, nodes) | {enter.output[0]: own}
                    parts.append(scope.embed(nodes, names, f"level{level}/")[node.input[0]])
                y = scope.add("Reshape", scope.add("Concat", *parts, axis=0), rows)
                y = scope.add("Gather", y, order)
                known[node.output[0]] = scope.add("Reshape", y, scope.constant([-1, _features(node)]))
            elif node.op_type != ENTER and node.output[0] not in inside:
                known = scope.embed([node], known)
        return {name: known[name] for name in self.outputs}

    def weights_at(
        self, scope: Scope, level: int, users: Sequence[onnx.NodeProto] | None = None
    ) -> dict[str, str]:
        """Names of the weights (of those that `users` use) at a level; slices are folded when opened."""
        used = None if users is None else {name for node in users for name in node.input}
        names = {name: weight for name, weight in self.weights.items() if used is None or name in used}
        for name, length in self.prefixes[level].items():
            traced = MODULE + name
            if traced in names and length < self.lengths[traced]:
                ends = (scope.constant([0]), scope.constant([length]))
                names[traced] = scope.add("Slice", names[traced], *ends)
        return names


MODULE = "model."
"""What the names of a network's weights begin with in a trace."""


def unwrapped(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A traced weight under its name in the network."""
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = tensor.name.removeprefix(MODULE)
    return copy


def _unmarked(node: onnx.NodeProto) -> onnx.NodeProto:
    if node.op_type not in (ENTER, LEAVE):
        return node
    return helper.make_node("Identity", list(node.input), list(node.output), node.name)


def _between(
    leave: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]
) -> tuple[onnx.NodeProto, list[onnx.NodeProto]]:
    """The marker that a product begins with, and the nodes between it and the one it ends with, in order."""
    found: dict[str, onnx.NodeProto] = {}
    enters = []

    def visit(name: str) -> None:
        node = makers.get(name)
        if node is None or node.output[0] in found:
            return
        if node.op_type == ENTER:
            enters.append(node)
            return
        for source in node.input:
            visit(source)
        found[node.output[0]] = node

    visit(leave.input[0])
    return enters[0], list(found.values())


def _features(node: onnx.NodeProto) -> int:
    return next(attribute.i for attribute in node.attribute if attribute.name == "features")
