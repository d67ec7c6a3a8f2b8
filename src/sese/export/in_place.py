"""States that a call may replace in place: their next value may be written over the one before.

A caller that gives the same memory for a state before and after a call saves the copy of a state that the
call does not change, and half the memory. That is safe where every operator that reads the state runs before
the one that writes it, or where the state is only passed on. Reads and writes are followed into branches. A
loop is never safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx
from onnx import helper

from sese.export.views import VIEWS

PASSED = "Identity"
"""Operator that does nothing where its input and its output are the same memory."""


def replaced_in_place(
    nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, str], results: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the states that a graph may replace in place.

    Args:
        nodes: nodes of the graph, in order.
        inputs: input -> name in the graph.
        results: output -> name in the graph.

    Returns:
        Names of states, without ``state.``.
    """
    states = [name.removeprefix("state.") for name in inputs if name.startswith("state.")]
    return tuple(
        state for state in states if _last(nodes, {inputs[f"state.{state}"]}, results[f"next_state.{state}"])
    )


def _last(nodes: Sequence[onnx.NodeProto], state: set[str], written: str) -> bool:
    """Return whether a graph reads a state only before it writes the next one, the value `written`.

    Args:
        nodes: nodes of the graph, in order.
        state: names of the state, also in the graphs around this one.
        written: name of the value that is written.
    """
    state = set(state)
    for node in nodes:  # a view of the state is the state
        if node.op_type in (*VIEWS, PASSED) and node.input[0] in state and node.output[0] != written:
            state.add(node.output[0])
    writer = next((node for node in nodes if written in node.output), None)
    if writer is None:
        return False
    if writer.op_type == PASSED and writer.input[0] in state:
        return True
    before = _ancestors(nodes, writer)
    if any(_reads(node, state) for node in nodes if node is not writer and node.output[0] not in before):
        return False
    if writer.op_type == "If":
        at = list(writer.output).index(written)
        return all(_last(branch.node, state, branch.output[at].name) for branch in _graphs(writer))
    return not _reads(writer, state)


def _ancestors(nodes: Sequence[onnx.NodeProto], last: onnx.NodeProto) -> set[str]:
    """Return the first output of every node that must run before a node."""
    needed, found = set(inputs_of(last)), set()
    for node in reversed(nodes):
        if node is not last and needed.intersection(node.output):
            found.add(node.output[0])
            needed.update(inputs_of(node))
    return found


def _reads(node: onnx.NodeProto, state: set[str]) -> bool:
    """Return whether a node reads the state; a view alone does not."""
    is_view = node.op_type in (*VIEWS, PASSED) and node.output[0] in state
    return not is_view and not state.isdisjoint(inputs_of(node))


def inputs_of(node: onnx.NodeProto) -> Iterable[str]:
    """Yield the values that a node and the graphs in it read."""
    yield from node.input
    for graph in _graphs(node):
        for inner in graph.node:
            yield from inputs_of(inner)
        yield from (value.name for value in graph.output)


def _graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    values = (helper.get_attribute_value(attribute) for attribute in node.attribute)
    return [value for value in values if isinstance(value, onnx.GraphProto)]
