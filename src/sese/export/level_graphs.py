"""All levels of a network: from one trace, or from a trace of each where states depend on the level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx

from sese.export.graph import Scope, embed, wholes_of
from sese.export.levels import Levels
from sese.export.parts import Parts

Makers = Callable[[Mapping[str, str]], list[Callable[[Scope], dict[str, str]]]]
"""Input of a network -> name; returns, for each level, a function that fills a branch."""


class LevelGraphs:
    """Traced networks, one a level, which share their weights.

    Args:
        traced: graph of each level, lowest first.
    """

    def __init__(self, traced: Sequence[onnx.GraphProto]):
        self.traced = traced
        self.inputs = [value.name for value in traced[0].input]
        self.wholes = wholes_of(traced)

    def at(self, scope: Scope, level: int, inputs: Mapping[str, str]) -> dict[str, str]:
        """Add everything at one level.

        Args:
            scope: graph to add to.
            level: number of the level.
            inputs: input of the network -> name in `scope`.

        Returns:
            Output of the network -> name in `scope`.
        """
        return embed(scope, self.traced[level], inputs, self.wholes)


def network_of(parts: Parts, lengths: Sequence[Mapping[str, tuple[int, ...]]]) -> Levels | LevelGraphs:
    """Return the network at all levels; `lengths` of each level are as from `nn.cost.prefixes`."""
    if parts.model.backbone.frames_apart:
        return Levels(parts.networks[0], lengths)
    return LevelGraphs(parts.networks)


def frame_by_frame(
    scope: Scope,
    at_levels: Makers,
    inputs: Sequence[str],
    values: Mapping[str, str],
) -> dict[str, str]:
    """Add a loop that runs frames whose levels differ one after the other.

    Args:
        scope: graph to add to.
        at_levels: branches of the networks for one frame.
        inputs: inputs of these networks: signal and context, then the states.
        values: input -> name in `scope`, for all frames, and the levels under ``chosen``.

    Returns:
        Output -> name in `scope`.
    """
    states = [name for name in inputs if name.startswith("state.")]
    frames = scope.add("Shape", values["chosen"])
    spectra = []
    for name in ("signal", "context"):  # (batch, frame * value) -> (batch, frame, value)
        shape = scope.add("Concat", scope.constant([0]), frames, scope.constant([-1]), axis=0)
        spectra.append(scope.add("Reshape", values[name], shape))
    body = scope.inner("frame")
    called = {name: f"frame.{name}" for name in [*states, "signal", "context", "picked"]}
    made = body.pick(called["picked"], at_levels(called))
    order = [f"next_{name}" for name in states] + ["enhanced"]
    results = scope.add_many(
        "Scan",
        [*(values[name] for name in states), *spectra, values["chosen"]],
        len(order),
        body=body.graph({name: made[name] for name in order}, called),
        num_scan_inputs=3,
        scan_input_axes=[1, 1, 0],
        scan_output_axes=[2],
    )
    after = dict(zip(order, results, strict=True))
    return after | {"enhanced": scope.add("Reshape", after["enhanced"], scope.constant([0, 1, -1]))}
