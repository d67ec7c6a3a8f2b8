"""All levels of a network from a trace of each, for networks whose levels change what a state becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx

from sese.export.graph import Scope, embed, wholes_of

Makers = Callable[[Mapping[str, str]], list[Callable[[Scope], dict[str, str]]]]
"""Names of a network's inputs -> makers of a branch for each level."""


class LevelGraphs:
    """Traced networks, one a level, which share their weights by their names.

    Args:
        traced: cheapest level first.
    """

    def __init__(self, traced: Sequence[onnx.GraphProto]):
        self.traced = traced
        self.inputs = [value.name for value in traced[0].input]
        self.wholes = wholes_of(traced)

    def at(self, scope: Scope, level: int, inputs: Mapping[str, str]) -> dict[str, str]:
        """Run everything at one level; returns the outputs' names."""
        return embed(scope, self.traced[level], inputs, self.wholes)


def frame_by_frame(
    scope: Scope,
    at_levels: Makers,
    inputs: Sequence[str],
    values: Mapping[str, str],
    output: str = "enhanced",
) -> dict[str, str]:
    """Run frames whose levels differ one after the other.

    Args:
        scope: to run in.
        at_levels: of the networks for one frame.
        inputs: names of their inputs: signal and context, then the states.
        values: names of those here, for all frames, and of the levels under ``chosen``.
        output: what the networks make of a frame: (batch, 1, time) ``enhanced``, or (batch, value)
            ``hidden``, whose first branch is rest, level -1.
    """
    states = [name for name in inputs if name.startswith("state.")]
    frames = scope.add("Shape", values["chosen"])
    spectra = []
    for name in ("signal", "context"):  # (batch, frame * value) -> (batch, frame, value)
        shape = scope.add("Concat", scope.constant([0]), frames, scope.constant([-1]), axis=0)
        spectra.append(scope.add("Reshape", values[name], shape))
    body = scope.inner("frame")
    called = {name: f"frame.{name}" for name in [*states, "signal", "context", "picked"]}
    number = called["picked"]
    if output == "hidden":
        number = body.add("Add", number, body.constant(1))
    made = body.pick(number, at_levels(called))
    order = [f"next_{name}" for name in states] + [output]
    results = scope.add_many(
        "Scan",
        [*(values[name] for name in states), *spectra, values["chosen"]],
        len(order),
        body=body.graph({name: made[name] for name in order}, called),
        num_scan_inputs=3,
        scan_input_axes=[1, 1, 0],
        scan_output_axes=[2 if output == "enhanced" else 1],
    )
    after = dict(zip(order, results, strict=True))
    shape = scope.constant([0, 1, -1] if output == "enhanced" else [0, -1])
    return after | {output: scope.add("Reshape", after[output], shape)}
