"""ONNX graphs in the making: nodes, branches, and one set of initializers for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Value = tuple[int, list[int | str]]
"""Element type and shape of a value; a name stands for a size that is free."""


class Initializers:
    """Initializers of the outermost graph; equal contents are kept once."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self.by_content: dict[tuple[int, tuple[int, ...], bytes], str] = {}
        self.names: set[str] = set()

    def add(self, tensor: onnx.TensorProto) -> str:
        """Add a tensor, or find its twin; returns the name to use."""
        content = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        if content not in self.by_content:
            name = tensor.name if tensor.name not in self.names else f"{tensor.name}.{len(self.names)}"
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = name
            self.names.add(name)
            self.tensors.append(copy)
            self.by_content[content] = name
        return self.by_content[content]

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Name of an initializer with this value."""
        array = np.asarray(value, dtype)
        return self.add(numpy_helper.from_array(array, "constant" if array.size != 1 else f"{array.item()}"))


class Scope:
    """The nodes of one graph.

    Args:
        name: begins the name of every value made here.
        initializers: of the outermost graph.
        types: of the values that branches hand out, by what they are called there.
    """

    def __init__(self, name: str, initializers: Initializers, types: Mapping[str, Value]):
        self.name, self.initializers, self.types = name, initializers, types
        self.nodes: list[onnx.NodeProto] = []
        self.made: set[str] = set()

    def inner(self, name: str) -> Scope:
        """An empty graph to be run within this one, which sees this one's values."""
        return Scope(f"{self.name}{name}/", self.initializers, self.types)

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Name of an initializer with this value."""
        return self.initializers.constant(value, dtype)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name."""
        return self.add_many(kind, inputs, 1, **attributes)[0]

    def add_many(self, kind: str, inputs: Iterable[str], count: int, **attributes: Any) -> list[str]:
        """Add a node with `count` outputs; returns their names."""
        name = f"{self.name}{kind}{len(self.nodes)}"
        outputs = [name if count == 1 else f"{name}.{at}" for at in range(count)]
        self.take(helper.make_node(kind, list(inputs), outputs, name, **attributes))
        return outputs

    def take(self, node: onnx.NodeProto) -> None:
        """Add a node as it is."""
        self.nodes.append(node)
        self.made.update(node.output)

    def embed(
        self, nodes: Iterable[onnx.NodeProto], names: Mapping[str, str], prefix: str = ""
    ) -> dict[str, str]:
        """Copy nodes of another graph to here.

        Args:
            nodes: in order.
            names: here, of the values that those nodes use and do not make.
            prefix: of the names of what they make.

        Returns:
            Names here of all values there.
        """
        known = dict(names)
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            del copy.metadata_props[:]
            copy.doc_string = ""
            copy.name = f"{self.name}{prefix}{node.name or node.output[0]}"
            known |= {name: f"{self.name}{prefix}{name}" for name in node.output if name}
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
        """Add an `If`; a branch is a graph and what it hands out: what it is called -> name there."""
        branches = [scope.graph(results) for scope, results in (then, otherwise)]
        name = f"{self.name}If{len(self.nodes)}"
        results = {called: f"{name}.{called}" for called in then[1]}
        self.take(
            helper.make_node(
                "If",
                [condition],
                list(results.values()),
                name,
                then_branch=branches[0],
                else_branch=branches[1],
            )
        )
        return results

    def graph(self, results: Mapping[str, str], inputs: Mapping[str, str] | None = None) -> onnx.GraphProto:
        """The graph, with what it hands out (and takes in, as the body of a loop): called -> name here."""
        outputs, taken = [], set()
        for called, name in results.items():
            if name not in self.made or name in taken:  # a graph may only hand out what it made, once
                name = self.add("Identity", name)
            taken.add(name)
            outputs.append(helper.make_tensor_value_info(name, *self.types[called]))
        values = [
            helper.make_tensor_value_info(name, *self.types[called])
            for called, name in (inputs or {}).items()
        ]
        return helper.make_graph(self.nodes, self.name.rstrip("/") or "sese", values, outputs)
