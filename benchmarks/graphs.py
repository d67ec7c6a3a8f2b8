"""Graphs of a single level, and calls of graphs, for the other benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from sese.export.graph import Initializers, Scope, embed
from sese.export.level_graphs import LevelGraphs
from sese.export.levels import Levels
from sese.export.onnx import values_of
from sese.export.parts import Parts
from sese.export.traced import OPSET
from sese.nn.enhancer import Enhancer
from sese.runtime.artefact import session_options


def single(model: Enhancer, parts: Parts, network: Levels | LevelGraphs, level: int) -> onnx.ModelProto:
    """Return the graph of a single level."""
    inputs, outputs, _ = values_of(model, len(model.sites[0].shares))
    scope, made = Scope("level", Initializers(), {}), {name: name for name in inputs}
    made |= embed(scope, parts.features, made)
    made |= network.at(scope, level, made)
    outputs = {name: value for name, value in outputs.items() if name in made}
    inputs = {name: inputs[name] for name in inputs if name == "audio" or f"next_{name}" in outputs}
    for name in outputs:
        scope.take(helper.make_node("Identity", [made[name]], [name]))
    graph = helper.make_graph(
        scope.nodes,
        scope.name,
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [*scope.initializers.tensors, *scope.own.tensors],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def bound(
    opened: onnxruntime.InferenceSession, model: Enhancer, frames: int, level: Any, budget: float = 0.0
) -> Callable[[], None]:
    """Return a call of a graph on arrays that are allocated once; the state is not advanced."""
    binding = opened.io_binding()
    sizes = {"batch": 1, "frames": frames, "time": frames * model.hop_length}
    noise = 0.1 * np.random.default_rng(0).standard_normal(sizes["time"])
    given = {
        "audio": noise.astype(np.float32).reshape(1, 1, -1),
        "level": np.broadcast_to(np.asarray(level, np.int64), frames).copy(),
        "budget": np.array(budget, np.float32),
        "ceiling": np.array(len(model.sites[0].shares) - 1),
    }
    for values, bind in (
        (opened.get_inputs(), binding.bind_ortvalue_input),
        (opened.get_outputs(), binding.bind_ortvalue_output),
    ):
        for value in values:
            shape = [sizes.get(size, size) for size in value.shape]
            array = given.get(value.name, np.zeros(shape, np.float32))
            bind(value.name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    return partial(opened.run_with_iobinding, binding)


def session(path: Path, options: onnxruntime.SessionOptions | None = None) -> onnxruntime.InferenceSession:
    """Open a graph for one thread."""
    return onnxruntime.InferenceSession(
        str(path), options or session_options(), providers=["CPUExecutionProvider"]
    )
