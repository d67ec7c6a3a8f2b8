"""States that may be replaced in place: those that are read before the next ones are written."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from sese.export.in_place import replaced_in_place

node = helper.make_node


def branches(*graphs: list[onnx.NodeProto]) -> onnx.NodeProto:
    """An If whose branches return a value "inner"."""
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    made = [helper.make_graph(nodes, "branch", [], [out]) for nodes in graphs]
    return node("If", ["which"], ["next"], then_branch=made[0], else_branch=made[1])


CASES = {
    "written from what was read": ([node("Neg", ["s"], ["a"]), node("Add", ["a", "x"], ["next"])], True),
    "read and written by one operator": ([node("Add", ["s", "x"], ["next"])], False),
    "read later": ([node("Neg", ["x"], ["next"]), node("Add", ["s", "x"], ["y"])], False),
    "read beside": (
        [node("Add", ["s", "x"], ["y"]), node("Neg", ["s"], ["a"]), node("Add", ["a", "x"], ["next"])],
        False,
    ),
    "a view is read later": (
        [
            node("Reshape", ["s", "shape"], ["view"]),
            node("Neg", ["s"], ["a"]),
            node("Add", ["a", "x"], ["next"]),
            node("Neg", ["view"], ["y"]),
        ],
        False,
    ),
    "a view is read before": (
        [
            node("Reshape", ["s", "shape"], ["view"]),
            node("Neg", ["view"], ["a"]),
            node("Reshape", ["a", "shape"], ["next"]),
        ],
        True,
    ),
    "passed on": ([node("Identity", ["s"], ["next"]), node("Neg", ["s"], ["y"])], True),
    "passed on or written": (
        [
            branches(
                [node("Identity", ["s"], ["inner"])],
                [node("Neg", ["s"], ["a"]), node("Neg", ["a"], ["inner"])],
            )
        ],
        True,
    ),
    "written too early in a branch": (
        [branches([node("Identity", ["s"], ["inner"])], [node("Neg", ["s"], ["inner"])])],
        False,
    ),
    "read after the branches": (
        [
            branches([node("Identity", ["s"], ["inner"])], [node("Identity", ["s"], ["inner"])]),
            node("Neg", ["s"], ["y"]),
        ],
        False,
    ),
    "in a loop": (
        [
            node("Neg", ["s"], ["a"]),
            node(
                "Scan",
                ["s", "x"],
                ["next", "y"],
                num_scan_inputs=1,
                body=helper.make_graph([], "body", [], []),
            ),
        ],
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_states_that_are_read_first(case: str) -> None:
    nodes, safe = CASES[case]
    inputs, results = {"audio": "x", "state.s": "s"}, {"enhanced": "y", "next_state.s": "next"}
    assert replaced_in_place(nodes, inputs, results) == (("s",) if safe else ())
