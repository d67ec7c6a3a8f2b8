"""All levels of a network from the trace of its highest: a level has the beginning of each weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from sese.core.errors import InputError
from sese.export.forms.products import ENTER, LEAVE
from sese.export.graph import Scope


class Levels:
    """A traced network that runs at any level.

    Args:
        traced: graph with marked slimmable products.
        prefixes: for each level, the lengths, from axis 0 on, of each weight that it uses in part.

    Raises:
        InputError: the graph lacks a weight that a level cuts.
    """

    def __init__(self, traced: onnx.GraphProto, prefixes: Sequence[Mapping[str, tuple[int, ...]]]):
        self.nodes = list(traced.node)
        self.inputs = [value.name for value in traced.input]
        self.outputs = [value.name for value in traced.output]
        self.weights = {tensor.name: unwrapped(tensor) for tensor in traced.initializer}
        missing = {MODULE + name for names in prefixes for name in names} - set(self.weights)
        if missing:
            raise InputError(f"the traced network lacks the weight {min(missing)}; its levels cannot be cut")
        self.prefixes = prefixes

    def at(self, scope: Scope, level: int, inputs: Mapping[str, str]) -> dict[str, str]:
        """Add everything at one level.

        Args:
            scope: graph to add to.
            level: number of the level.
            inputs: input of the network -> name in `scope`.

        Returns:
            Output of the network -> name in `scope`.
        """
        names = self.weights_at(scope, level) | {name: inputs[name] for name in self.inputs}
        known = scope.embed((_unmarked(node) for node in self.nodes), names)
        return {name: known[name] for name in self.outputs}

    def gathered(self, scope: Scope, chosen: str, inputs: Mapping[str, str]) -> dict[str, str]:
        """Add each frame's slimmable products at its own level, the frames of a level together.

        Args:
            scope: graph to add to.
            chosen: name of the levels, (frame,).
            inputs: input of the network -> name in `scope`.

        Returns:
            Output of the network -> name in `scope`.
        """
        rows, served, order = self._rows(scope, chosen, inputs["context"])
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
                    parts.append(scope.embed(nodes, names)[node.input[0]])
                y = scope.add("Reshape", scope.add("Concat", *parts, axis=0), rows)
                y = scope.add("Gather", y, order)
                known[node.output[0]] = scope.add("Reshape", y, scope.constant([-1, _features(node)]))
            elif node.op_type != ENTER and node.output[0] not in inside:
                known = scope.embed([node], known)
        return {name: known[name] for name in self.outputs}

    def _rows(self, scope: Scope, chosen: str, context: str) -> tuple[str, list[str], str]:
        """Sort the rows of a product by their level; a row is one frame of one signal.

        Returns:
            Name of the shape (row, value); for each level the name of its rows' indices; name of the indices
            that put the sorted rows back in order.
        """
        flat = scope.constant([-1])
        shape = scope.add("Concat", scope.add("Shape", context, end=1), scope.add("Shape", chosen), axis=0)
        levels = scope.add("Reshape", scope.add("Expand", chosen, shape), flat)
        served = []
        for level in range(len(self.prefixes)):
            found = scope.add("NonZero", scope.add("Equal", levels, scope.constant(level)))
            served.append(scope.add("Reshape", found, flat))
        places = scope.add("Range", scope.constant(0), scope.add("Size", levels), scope.constant(1))
        order = scope.add("ScatterElements", places, scope.add("Concat", *served, axis=0), places, axis=0)
        return scope.add("Concat", scope.add("Shape", levels), flat, axis=0), served, order

    def weights_at(
        self, scope: Scope, level: int, users: Sequence[onnx.NodeProto] | None = None
    ) -> dict[str, str]:
        """Add the weights at a level, as slices that are folded when the file is opened.

        Args:
            scope: graph to add to.
            level: number of the level.
            users: nodes whose weights are added; None for all weights.

        Returns:
            Weight -> name in `scope`.
        """
        used = None if users is None else {name for node in users for name in node.input}
        names = {}
        for name, tensor in self.weights.items():
            if used is None or name in used:
                names[name] = scope.tensor(tensor)
                ends = self.prefixes[level].get(tensor.name)
                if ends is not None:  # the whole too: folded, it is the branch's own and packed for speed
                    starts = scope.constant([0] * len(ends))
                    names[name] = scope.add("Slice", names[name], starts, scope.constant(list(ends)))
        return names


MODULE = "model."
"""Beginning of the names of a network's weights in a trace."""


def unwrapped(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Return a copy of a traced weight under its name in the network."""
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
    """Return the marker at the start of a product, and the nodes up to the marker at its end, in order."""
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
