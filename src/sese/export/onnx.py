"""One ONNX file for every level of a model, one frame or many, with the router inside and each weight once.

The network's own forward path is traced twice, for one frame and for any number of them. In a call with one
frame the router (where the caller leaves the choice to it) picks a level, and nested `If`s run the network
with that level's weights. In a call with many frames the router scores them all at once; then each block
gathers the frames of each level. ONNX Runtime folds the slices of the weights when it opens the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sese.export.graph import Initializers, Scope, Value
from sese.export.levels import Levels
from sese.export.parts import OPSET, Parts
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.nn.policies.budget import MEMORY

GRU, HELD = "policy.gru", "policy.memory"


def to_onnx(model: Enhancer, metadata: Mapping[str, Any], utilizations: list[float]) -> onnx.ModelProto:
    """Trace a model and join the traces.

    Args:
        model: ready for inference.
        metadata: facts that travel in the file under the key ``sese``.
        utilizations: of each level, cheapest first.

    Returns:
        A model with the inputs ``audio``, ``level``, ``budget``, ``ceiling``, ``state.<name>`` and the
        outputs ``enhanced``, ``utilization``, ``next_state.<name>``; see `runtime.artefact`.
    """
    types: dict[str, Value] = {
        "audio": (TensorProto.FLOAT, ["batch", 1, "time"]),
        "level": (TensorProto.INT64, ["frames"]),
        "budget": (TensorProto.FLOAT, []),
        "ceiling": (TensorProto.INT64, []),
    }
    states: dict[str, list[int | str]] = {
        name: ["batch", *shape] for name, shape in model.state_shapes().items()
    }
    types |= {f"state.{name}": (TensorProto.FLOAT, shape) for name, shape in states.items()}
    inputs = list(types)
    outputs: dict[str, Value] = {
        "enhanced": types["audio"],
        "utilization": (TensorProto.FLOAT, ["frames"]),
        **{f"next_state.{name}": (TensorProto.FLOAT, shape) for name, shape in states.items()},
    }
    inside: dict[str, Value] = {
        "chosen": types["level"],
        "picked": (TensorProto.INT64, []),
        "score": (TensorProto.FLOAT, [len(utilizations)]),
        "memory": (TensorProto.FLOAT, [1, MEMORY]),
    }
    scope = Scope("", Initializers(), types | outputs | inside)
    joined = _Joined(model, utilizations, scope.initializers, inputs)
    one, many = scope.inner("one"), scope.inner("many")
    single = scope.add("Equal", scope.add("Shape", "level"), scope.constant([1]))
    results = scope.choose(single, (one, joined.one_frame(one)), (many, joined.many_frames(many)))
    scope.nodes[-1].output[:] = list(results)
    graph = helper.make_graph(
        scope.nodes,
        "sese",
        [helper.make_tensor_value_info(name, *types[name]) for name in inputs],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        initializer=scope.initializers.tensors,
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="sese"
    )
    helper.set_model_props(proto, {"sese": json.dumps(metadata)})
    onnx.checker.check_model(proto, full_check=True)
    return proto


class _Joined:
    """A model's traces, and how they are put together."""

    def __init__(
        self, model: Enhancer, utilizations: list[float], initializers: Initializers, inputs: Sequence[str]
    ):
        self.levels, self.hop = len(utilizations), model.hop_length
        self.inputs = {name: name for name in inputs}
        self.table = initializers.constant(utilizations, np.float32)
        self.routed = model.policy is not None
        lengths = [prefixes(model, level + 1) for level in range(self.levels)]
        one, many = (Parts(model, utilizations, many) for many in (False, True))
        self.features_one, self.features_many = one.features(), many.features()
        self.network_one, self.network_many = (
            Levels(parts.network(), initializers, lengths) for parts in (one, many)
        )
        if self.routed:
            self.scores_one, self.scores_many, self.choice = one.scores(), many.scores(), one.choice()

    def one_frame(self, scope: Scope) -> dict[str, str]:
        """A call with a single frame."""
        values = self.inputs | _embed(scope, self.features_one, self.inputs)
        if self.routed:
            asked = scope.add("Less", "level", scope.constant(0))
            router, given = scope.inner("router"), scope.inner("given")
            values |= scope.choose(
                asked, (router, self._ask(router, self.scores_one, values)), (given, _unasked())
            )
        else:
            values["chosen"] = self._unrouted(scope)
        results = values | self.network_one.choose(scope, values["chosen"], values)
        results["utilization"] = scope.add("Gather", self.table, values["chosen"])
        return self._outputs(results)

    def many_frames(self, scope: Scope) -> dict[str, str]:
        """A call with any number of frames."""
        values = self.inputs | _embed(scope, self.features_many, self.inputs)
        if self.routed:
            router, given = scope.inner("router"), scope.inner("given")
            asked = scope.add("Less", scope.add("ReduceMin", "level", keepdims=0), scope.constant(0))
            values |= scope.choose(asked, (router, self._ask_some(router, values)), (given, _unasked()))
        else:
            values["chosen"] = self._unrouted(scope)
        chosen = values["chosen"]
        lowest, highest = (scope.add(kind, chosen, keepdims=0) for kind in ("ReduceMin", "ReduceMax"))
        steady, changing = scope.inner("steady"), scope.inner("changing")
        results = values | scope.choose(
            scope.add("Equal", lowest, highest),
            (steady, self.network_many.choose(steady, lowest, values)),
            (changing, self._changing(changing, values)),
        )
        results["utilization"] = scope.add("Gather", self.table, chosen)
        return self._outputs(results)

    def _changing(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Many frames whose levels are not all the same: each level's frames are gathered."""
        batch = scope.add("Shape", "audio", end=1)
        shape = scope.add("Concat", batch, scope.add("Shape", values["chosen"]), axis=0)
        flat = scope.constant([-1])
        by_row = scope.add("Reshape", scope.add("Expand", values["chosen"], shape), flat)
        served = []
        for level in range(self.levels):
            found = scope.add("NonZero", scope.add("Equal", by_row, scope.constant(level)))
            served.append(scope.add("Reshape", found, flat))
        count = scope.add("Size", by_row)
        places = scope.add("Range", scope.constant(0), count, scope.constant(1))
        joined = scope.add("Concat", *served, axis=0)
        order = scope.add("ScatterElements", places, joined, places, axis=0)
        rows = scope.add("Concat", scope.add("Shape", by_row), flat, axis=0)
        return self.network_many.gathered(scope, rows, served, order, values)

    def _ask(self, scope: Scope, scores: onnx.GraphProto, values: Mapping[str, str]) -> dict[str, str]:
        """Let the router decide on every frame of ``audio``."""
        made = _embed(scope, scores, values)
        held, free = scope.inner("held"), scope.inner("free")
        row = held.add("Slice", f"state.{HELD}", held.constant([0]), held.constant([1]))
        names = {"memory": row, "budget": "budget", "ceiling": "ceiling"}
        if scores is self.scores_one:
            score = held.add("Squeeze", made["scores"], held.constant([0]))
            known = _embed(held, self.choice, names | {"score": score})
            chosen, after = held.add("Unsqueeze", known["chosen"], held.constant([0])), known["next_memory"]
        else:
            body = held.inner("frame")
            known = _embed(body, self.choice, names | {"score": "score", "memory": "memory"})
            graph = body.graph(
                {"memory": known["next_memory"], "picked": known["chosen"]},
                {"memory": "memory", "score": "score"},
            )
            after, chosen = held.add_many("Scan", [row, made["scores"]], 2, body=graph, num_scan_inputs=1)
        shape = held.add("Shape", f"state.{HELD}")
        kept = {"chosen": chosen, f"next_state.{HELD}": held.add("Expand", after, shape)}
        best = free.add("ArgMax", made["scores"], axis=1, keepdims=0)
        left = {"chosen": free.add("Min", best, "ceiling"), f"next_state.{HELD}": f"state.{HELD}"}
        holding = scope.add("Greater", "budget", scope.constant(0, np.float32))
        return scope.choose(holding, (held, kept), (free, left)) | {
            f"next_state.{GRU}": made[f"next_state.{GRU}"]
        }

    def _ask_some(self, scope: Scope, values: Mapping[str, str]) -> dict[str, str]:
        """Let the router decide on the frames that have no level; to it they follow each other."""
        asked = scope.add("NonZero", scope.add("Less", "level", scope.constant(0)))
        asked = scope.add("Reshape", asked, scope.constant([-1]))
        picked = dict(values)
        for name, back in (("audio", [0, 1, -1]), ("loudness", [0, -1])):
            frames = scope.add("Reshape", values[name], scope.constant([0, -1, self.hop]))
            frames = scope.add("Gather", frames, asked, axis=1)
            picked[name] = scope.add("Reshape", frames, scope.constant(back))
        results = self._ask(scope, self.scores_many, picked)
        return results | {"chosen": scope.add("ScatterElements", "level", asked, results["chosen"], axis=0)}

    def _unrouted(self, scope: Scope) -> str:
        """Without a router the highest level runs where none is given."""
        missing = scope.add("Less", "level", scope.constant(0))
        return scope.add("Where", missing, scope.constant(self.levels - 1), "level")

    def _outputs(self, results: Mapping[str, str]) -> dict[str, str]:
        states = (name.removeprefix("state.") for name in self.inputs if name.startswith("state."))
        names = ["enhanced", "utilization", *(f"next_state.{name}" for name in states)]
        return {name: results[name] for name in names}


def _embed(scope: Scope, traced: onnx.GraphProto, values: Mapping[str, str]) -> dict[str, str]:
    """Copy a trace to here; returns its outputs."""
    names = {tensor.name: scope.initializers.add(tensor) for tensor in traced.initializer}
    names |= {value.name: values[value.name] for value in traced.input}
    known = scope.embed(traced.node, names)
    return {value.name: known[value.name] for value in traced.output}


def _unasked() -> dict[str, str]:
    """The levels are given, and the router's state stays as it is."""
    return {"chosen": "level", f"next_state.{HELD}": f"state.{HELD}", f"next_state.{GRU}": f"state.{GRU}"}
