"""One ONNX file for all levels of a model, with its router inside and each weight stored once.

The network's own forward path is traced twice: for one frame, and for any number of frames. In a call with
one frame, nested `If`s run the network with the weights of one level. In a call with many frames whose levels
differ, each block gathers the frames of each level, or frames run one by one where their level changes the
states. The weights of a level are slices of the full ones, which ONNX Runtime folds when it opens the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper

from sese.export.graph import Initializers, Scope, Value, embed
from sese.export.in_place import replaced_in_place
from sese.export.level_graphs import frame_by_frame, network_of
from sese.export.levels import Levels
from sese.export.parts import Parts
from sese.export.resting import RestingCalls
from sese.export.routing import Routing
from sese.export.sinking import sink
from sese.export.traced import OPSET
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.nn.policies.budget import MEMORY
from sese.runtime.artefact import SPEECH_PROBABILITY
from sese.runtime.card import Card


def to_onnx(model: Enhancer, card: Card, utilizations: list[float]) -> onnx.ModelProto:
    """Trace a model and join its traces to one ONNX file.

    Args:
        model: network, ready for inference.
        card: facts that the file holds under the key ``sese``.
        utilizations: utilization of each level, lowest level first.

    Returns:
        A model with the inputs ``audio``, ``level``, ``budget``, ``ceiling``, ``state.<name>`` and the
        outputs ``enhanced``, ``utilization``, ``next_state.<name>``; see `runtime.artefact`.
    """
    inputs, outputs, inside = values_of(model, len(utilizations))
    scope = Scope("", Initializers(), inputs | outputs | inside)
    lengths = [prefixes(model, level + 1) for level in range(len(utilizations))]
    parts = [Parts(model, utilizations, many=many) for many in (False, True)]
    one: _Calls | RestingCalls
    many: _Calls | RestingCalls
    if parts[0].rests:
        one, many = (RestingCalls(part, network_of(part, lengths)) for part in parts)
    else:
        one = _Calls(parts[0], lengths)
        many = _Calls(parts[1], lengths, one)

    single = scope.add("Equal", scope.add("Shape", "level"), scope.constant([1]))
    known = {name: name for name in inputs}
    branches = []
    for name, calls in (("one", one), ("many", many)):
        inner = scope.inner(name)
        made = calls.whole(inner, known, utilizations)
        sink(inner, [made[output] for output in outputs])
        branches.append((inner, {output: made[output] for output in outputs}))
    scope.choose(single, *branches)
    card = replace(card, in_place=replaced_in_place(branches[0][0].nodes, known, branches[0][1]))

    graph = helper.make_graph(
        scope.nodes,
        "sese",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        initializer=[*scope.initializers.tensors, *scope.own.tensors],
    )
    opset = helper.make_opsetid("", OPSET)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=10, producer_name="sese")
    helper.set_model_props(proto, {"sese": card.to_json()})
    onnx.checker.check_model(proto, full_check=True)
    return proto


class _Calls:
    """Build the graph for calls with one frame, or for calls with any number of frames.

    Args:
        parts: traced parts of the network.
        lengths: for each level, the lengths, from axis 0 on, of each weight that it uses in part.
        one: for calls with any number of frames, the graph for calls with one.
    """

    def __init__(self, parts: Parts, lengths: list[dict[str, tuple[int, ...]]], one: _Calls | None = None):
        self.count, self.many, self.gated = len(lengths) + parts.gated, parts.many, parts.gated
        self.features, self.one = parts.features, one
        self.network = network_of(parts, lengths)
        self.routing = Routing(parts) if parts.routed else None

    def begin(self, scope: Scope) -> dict[str, str]:
        """Add everything before the network: the signal and the levels."""
        inputs = {value.name: value.name for value in self.features.input}
        made = embed(scope, self.features, inputs)
        if self.routing is None:  # without a router -1 is the highest level, or behind it the gates
            made["chosen"] = scope.add("Mod", "level", scope.constant(self.count))
        else:
            made |= self.routing.levels(scope, inputs | made)
        return made

    def whole(self, scope: Scope, inputs: Mapping[str, str], utilizations: Sequence[float]) -> dict[str, str]:
        """Add everything, and return the file's outputs by name; `inputs` are those of the file."""
        values = {**inputs, **self.begin(scope)}
        if self.many:
            values |= self.at_any(scope, values)
        else:
            values |= scope.pick(values["chosen"], self.at_levels(values))
        if not self.gated:  # with gates it is known after they have decided
            used = scope.constant(utilizations, np.float32)
            values["utilization"] = scope.add("Gather", used, values["chosen"])
        return values

    def at_levels(self, values: Mapping[str, str]) -> list[Callable[[Scope], dict[str, str]]]:
        """Return functions that fill a branch for each level, with everything at it."""
        return [partial(self._at, level=level, values=values) for level in range(self.count)]

    def _at(self, scope: Scope, level: int, values: Mapping[str, str]) -> dict[str, str]:
        results = self.network.at(scope, level, values)
        if self.gated and "utilization" not in results:
            ones = scope.add("Expand", scope.constant([1], np.float32), scope.add("Shape", "level"))
            results["utilization"] = ones
        return results

    def at_any(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Add the network for frames with any levels; frames run together where all have the same level."""
        lowest, highest = (scope.add(kind, values["chosen"]) for kind in ("ReduceMin", "ReduceMax"))
        steady, changing = scope.inner("steady"), scope.inner("changing")
        if isinstance(self.network, Levels):
            results = self.network.gathered(changing, values["chosen"], values)
        elif self.gated:  # whose graph reads each frame's level
            results = self.network.at(changing, self.count - 1, values)
        else:
            assert self.one is not None
            results = frame_by_frame(changing, self.one.at_levels, self.network.inputs, values)
        return scope.choose(
            scope.add("Equal", lowest, highest),
            (steady, steady.pick(lowest, self.at_levels(values))),
            (changing, results),
        )


def values_of(model: Enhancer, levels: int) -> tuple[dict[str, Value], dict[str, Value], dict[str, Value]]:
    """Return the types and shapes of inputs, of outputs, and of values between branches."""
    number = TensorProto.INT64
    inputs: dict[str, Value] = {
        "audio": (TensorProto.FLOAT, ["batch", 1, "time"]),
        "level": (number, ["frames"]),
        "budget": (TensorProto.FLOAT, []),
        "ceiling": (number, []),
    }
    outputs: dict[str, Value] = {
        "enhanced": inputs["audio"],
        "utilization": (TensorProto.FLOAT, ["frames"]),
    }
    if model.rests:
        outputs[SPEECH_PROBABILITY] = outputs["utilization"]
    for name, shape in model.state_shapes().items():
        inputs[f"state.{name}"] = outputs[f"next_state.{name}"] = (TensorProto.FLOAT, ["batch", *shape])
    inside: dict[str, Value] = {
        "signal": (TensorProto.FLOAT, ["batch", "samples"]),
        "context": (TensorProto.FLOAT, ["batch", "values"]),
        "chosen": (number, ["frames"]),
        "gain": (TensorProto.FLOAT, ["frames"]),
        "hidden": (TensorProto.FLOAT, ["batch", "values"]),
        "picked": (number, []),
        "number": (number, []),
        "more": (TensorProto.BOOL, []),
        "done": (TensorProto.FLOAT, ["batch", "done"]),
        "score": (TensorProto.FLOAT, [levels]),
        "memory": (TensorProto.FLOAT, [1, MEMORY]),
    }
    return inputs, outputs, inside
