"""ONNX graphs under construction: nodes, branches, and one set of initializers for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Content = tuple[int, tuple[int, ...], bytes]
"""Content of a tensor: element type, shape, values."""

Value = tuple[int, list[int | str]]
"""Element type and shape of a value; a name stands for a size that may vary."""

NAMED = ("Gather", "Slice")
"""Nodes that need unique names: ONNX Runtime before 1.22 joins some, and names the result by theirs."""


class Initializers:
    """Initializers of the outermost graph; equal contents are stored once.

    Args:
        prefix: beginning of generated names.

    Example:
        >>> initializers = Initializers()
        >>> tensor = numpy_helper.from_array(np.zeros(3), "zeros")
        >>> initializers.add(tensor), initializers.add(tensor), len(initializers.tensors)
        ('zeros', 'zeros', 1)
    """

    def __init__(self, prefix: str = "v") -> None:
        self.prefix = prefix
        self.tensors: list[onnx.TensorProto] = []
        self.by_content: dict[Content, str] = {}
        self.names: set[str] = set()
        self.numbers = itertools.count()

    def fresh(self) -> str:
        """Return a name that no other value has; it is short, since a file has thousands of names."""
        return f"{self.prefix}{next(self.numbers)}"

    def add(self, tensor: onnx.TensorProto) -> str:
        """Add a tensor, unless its content is stored already, and return the name to use."""
        content = content_of(tensor)
        if content not in self.by_content:
            name = tensor.name if tensor.name not in self.names else f"{tensor.name}.{len(self.names)}"
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = name
            self.names.add(name)
            self.tensors.append(copy)
            self.by_content[content] = name
        return self.by_content[content]


def content_of(tensor: onnx.TensorProto) -> Content:
    """Return the content of a tensor, without its name."""
    return tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()


SMALL = 64
"""Largest number of elements of a tensor that is stored in every graph that uses it: each value that a branch
reads from the graphs around it costs time in every run."""


class Scope:
    """The nodes of one graph.

    Args:
        name: name of the graph; empty for the outermost.
        initializers: initializers of the outermost graph.
        types: type of each output of a branch, by the name of the output.
    """

    def __init__(self, name: str, initializers: Initializers, types: Mapping[str, Value]):
        self.name, self.initializers, self.types = name, initializers, types
        self.own = Initializers()
        self.nodes: list[onnx.NodeProto] = []
        self.made: set[str] = set()

    def inner(self, name: str) -> Scope:
        """Return an empty graph that runs within this one and sees its values."""
        return Scope(name, self.initializers, self.types)

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Return the name of an initializer with this value."""
        return self.tensor(numpy_helper.from_array(np.asarray(value, dtype), "constant"))

    def tensor(self, tensor: onnx.TensorProto) -> str:
        """Return the name of an initializer: this graph's own if it is small, else the outermost graph's."""
        if np.prod(tensor.dims) > SMALL:
            return self.initializers.add(tensor)
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = self.initializers.fresh()
        return self.own.add(copy)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        return self.add_many(kind, inputs, 1, **attributes)[0]

    def add_many(self, kind: str, inputs: Iterable[str], count: int, **attributes: Any) -> list[str]:
        """Add a node with `count` outputs, and return their names."""
        outputs = [self.initializers.fresh() for _ in range(count)]
        self.take(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs

    def take(self, node: onnx.NodeProto) -> None:
        """Add a node as it is."""
        if node.op_type in NAMED:
            node.name = node.output[0]
        self.nodes.append(node)
        self.made.update(node.output)

    def embed(self, nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> dict[str, str]:
        """Copy nodes of another graph into this one.

        Args:
            nodes: nodes in order.
            names: for each value that the nodes use and do not compute, its name in this graph.

        Returns:
            Name in the other graph -> name in this graph, of all values.
        """
        known = dict(names)
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            del copy.metadata_props[:]
            copy.ClearField("doc_string")
            copy.ClearField("name")
            known |= {name: self.initializers.fresh() for name in node.output if name}
            copy.input[:] = [known[name] if name else "" for name in node.input]
            copy.output[:] = [known[name] if name else "" for name in node.output]
            self.take(copy)
        return known

    def choose(
        self,
        condition: str,
        then: tuple[Scope, Mapping[str, str]],
        otherwise: tuple[Scope, Mapping[str, str]],
    ) -> dict[str, str]:
        """Add an `If`.

        Args:
            condition: name of a bool.
            then, otherwise: a branch's graph, and its outputs: output -> name in that graph.

        Returns:
            Output -> name in this graph; in the outermost graph an output is its own name.
        """
        branches = [
            scope.graph({called: results[called] for called in then[1]})
            for scope, results in (then, otherwise)
        ]
        results = {called: self.initializers.fresh() if self.name else called for called in then[1]}
        made = list(results.values())
        node = helper.make_node("If", [condition], made, then_branch=branches[0], else_branch=branches[1])
        self.take(node)
        return results

    def pick(
        self, number: str, makers: Sequence[Callable[[Scope], Mapping[str, str]]], first: int = 0
    ) -> dict[str, str]:
        """Run one of several graphs, selected by a number; each `If` halves the choice.

        Args:
            number: name of a tensor with one element.
            makers: functions that fill a graph each, and return its outputs: output -> name in that graph.
            first: number of the first graph.

        Returns:
            Output -> name in this graph.
        """
        if len(makers) == 1:
            return dict(makers[0](self))
        half = len(makers) // 2
        below, above = self.inner(f"below{first + half}"), self.inner(f"from{first + half}")
        return self.choose(
            self.add("Less", number, self.constant(first + half)),
            (below, below.pick(number, makers[:half], first)),
            (above, above.pick(number, makers[half:], first + half)),
        )

    def graph(self, results: Mapping[str, str], inputs: Mapping[str, str] | None = None) -> onnx.GraphProto:
        """Return the graph.

        Args:
            results: output -> name in this graph.
            inputs: for the body of a loop: input -> name in this graph.
        """
        outputs, taken = [], set()
        for called, name in results.items():
            if name not in self.made or name in taken:  # a graph may only return what it computed, once
                name = self.add("Identity", name)
            taken.add(name)
            outputs.append(helper.make_tensor_value_info(name, *self.types[called]))
        values = [
            helper.make_tensor_value_info(name, *self.types[called])
            for called, name in (inputs or {}).items()
        ]
        return helper.make_graph(self.nodes, self.name, values, outputs, self.own.tensors)


def embed(
    scope: Scope,
    traced: onnx.GraphProto,
    values: Mapping[str, str],
    wholes: Mapping[Content, onnx.TensorProto] | None = None,
) -> dict[str, str]:
    """Copy a whole traced graph into another.

    Args:
        scope: graph to copy into.
        traced: graph to copy.
        values: input of the traced graph -> name in `scope`.
        wholes: content of a tensor -> larger tensor that begins with it, see `wholes_of`.

    Returns:
        Output of the traced graph -> name in `scope`.
    """
    names = {}
    for tensor in traced.initializer:
        whole = (wholes or {}).get(content_of(tensor), tensor)
        names[tensor.name] = scope.tensor(whole)
        if whole is not tensor or (scope.name and np.prod(tensor.dims) > SMALL):
            # Folded when the file is opened: then the branch reads its own copy, not the outermost graph's.
            ends = scope.constant(tensor.dims[:1])
            names[tensor.name] = scope.add("Slice", names[tensor.name], scope.constant([0]), ends)
    names |= {value.name: values[value.name] for value in traced.input}
    known = scope.embed(traced.node, names)
    return {value.name: known[value.name] for value in traced.output}


def wholes_of(graphs: Iterable[onnx.GraphProto]) -> dict[Content, onnx.TensorProto]:
    """Find the tensors that are the beginning of a larger one along the first axis.

    Tracing cuts small weights, so that a level has its own copy of what is a slice of a larger weight.

    Returns:
        Content of a tensor -> larger tensor.
    """
    tensors = {content_of(tensor): tensor for graph in graphs for tensor in graph.initializer}
    longest = sorted((content for content in tensors if content[1]), key=lambda content: -content[1][0])
    wholes = {}
    for at, (kind, shape, values) in enumerate(longest):
        if np.prod(shape) > SMALL:
            for other in longest[:at]:
                same = other[0] == kind and other[1][1:] == shape[1:] and other[1] != shape
                if same and other[2].startswith(values):
                    wholes[kind, shape, values] = tensors[other]
                    break
    return wholes
