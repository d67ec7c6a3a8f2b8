"""One ONNX file that holds every level of a model and each weight once.

The network's own forward path is traced for one streaming step at each level; a level's layers are slices
of the full weights. The traced graphs become the branches of one `If` on the level, over one set of
initializers: the file stores no weight twice, and ONNX Runtime folds the slices when it opens the file.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sese.nn.enhancer import Enhancer
from sese.nn.policies.fixed import level_plan

OPSET = 18
TRACE_BATCH = 2
"""Any batch but 1, which the tracer would take for a constant."""


class Step(nn.Module):
    """One streaming step at one level, with the state as plain inputs and outputs."""

    def __init__(self, model: Enhancer, level: int):
        super().__init__()
        self.model, self.level = model, level
        self.names = list(model.state_shapes())

    def forward(self, audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """(batch, 1, hop) and the state -> the same, one step on."""
        plan = level_plan(self.model.sites, self.level)
        enhanced = self.model(audio, plan, dict(zip(self.names, state, strict=True)))
        return enhanced.audio, *(enhanced.state[name] for name in self.names)


def to_onnx(model: Enhancer, metadata: Mapping[str, Any], utilizations: list[float]) -> onnx.ModelProto:
    """Trace every level and join them.

    Args:
        model: ready for inference.
        metadata: facts that travel in the file under the key ``sese``.
        utilizations: of each level, cheapest first.

    Returns:
        A model with the inputs ``audio``, ``level``, ``state.<name>`` and the outputs ``enhanced``,
        ``utilization``, ``next_state.<name>``.
    """
    graphs = [_trace(model, level) for level in range(len(utilizations))]
    first = graphs[0].graph
    initializers = _Initializers()
    branches = [_branch(traced.graph, level, initializers) for level, traced in enumerate(graphs)]
    outputs = [output.name for output in first.output]

    level = helper.make_tensor_value_info("level", TensorProto.INT64, [])
    nodes = _choose(branches, outputs, initializers)
    table = initializers.add(numpy_helper.from_array(np.array(utilizations, np.float32), "utilizations"))
    zero, one = (initializers.add(_scalars(f"shape.{at}", [at])) for at in (0, 1))
    lowest = initializers.add(_scalars("lowest_level", 0))
    # Without a router the level -1 has no meaning of its own; it runs the cheapest.
    nodes += [
        helper.make_node("Max", ["level", lowest], ["chosen"]),
        helper.make_node("Gather", [table, "chosen"], ["used"]),
        helper.make_node("Shape", ["audio"], ["audio_shape"]),
        helper.make_node("Slice", ["audio_shape", zero, one], ["batch_shape"]),
        helper.make_node("Expand", ["used", "batch_shape"], ["utilization"]),
    ]
    utilization = helper.make_tensor_value_info("utilization", TensorProto.FLOAT, ["batch"])
    graph = helper.make_graph(
        nodes,
        "sese",
        [first.input[0], level, *first.input[1:]],
        [first.output[0], utilization, *first.output[1:]],
        initializer=initializers.tensors,
    )
    joined = helper.make_model(
        graph,
        opset_imports=list(graphs[0].opset_import),
        ir_version=graphs[0].ir_version,
        producer_name="sese",
    )
    helper.set_model_props(joined, {"sese": json.dumps(metadata)})
    onnx.checker.check_model(joined, full_check=True)
    return joined


def _trace(model: Enhancer, level: int) -> onnx.ModelProto:
    shapes = model.state_shapes()
    audio = torch.zeros(TRACE_BATCH, 1, model.hop_length)
    state = [torch.zeros(TRACE_BATCH, *shape) for shape in shapes.values()]
    batch = torch.export.Dim("batch", min=1)
    logging.disable(logging.WARNING)  # the exporter remarks on packages that this model does not use
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                Step(model, level).eval(),
                (audio, *state),
                dynamo=True,
                opset_version=OPSET,
                input_names=["audio", *(f"state.{name}" for name in shapes)],
                output_names=["enhanced", *(f"next_state.{name}" for name in shapes)],
                dynamic_shapes=({0: batch}, tuple({0: batch} for _ in state)),
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    return program.model_proto


class _Initializers:
    """Initializers of the joined graph; equal contents are kept once."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self.by_content: dict[tuple[int, tuple[int, ...], bytes], str] = {}
        self.names: set[str] = set()

    def add(self, tensor: onnx.TensorProto) -> str:
        """Add a tensor, or find its twin; returns the name to use."""
        content = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        if content not in self.by_content:
            name = tensor.name.removeprefix("model.")
            if name in self.names:
                name = f"{name}.{len(self.names)}"
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = name
            self.names.add(name)
            self.tensors.append(copy)
            self.by_content[content] = name
        return self.by_content[content]


def _branch(graph: onnx.GraphProto, level: int, initializers: _Initializers) -> onnx.GraphProto:
    """The nodes of one level as a graph without inputs: it sees the outer graph's inputs and initializers."""
    names = {tensor.name: initializers.add(tensor) for tensor in graph.initializer}
    outer = set(names.values()) | {value.name for value in graph.input}
    names |= {value.name: value.name for value in graph.input}
    nodes = []
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.metadata_props[:]
        copy.doc_string = ""
        copy.name = f"level{level}/{node.name or node.output[0]}"
        for at, name in enumerate(node.input):
            copy.input[at] = names[name] if name else ""
        for at, name in enumerate(node.output):
            names[name] = f"level{level}/{name}" if name else ""
            copy.output[at] = names[name]
        nodes.append(copy)
    results = []
    for value in graph.output:
        name = names[value.name]
        if name in outer:  # a branch may not hand on what it did not make
            nodes.append(helper.make_node("Identity", [name], [f"level{level}/{value.name}"]))
            name = f"level{level}/{value.name}"
        result = onnx.ValueInfoProto()
        result.CopyFrom(value)
        result.name = name
        results.append(result)
    return helper.make_graph(nodes, f"level{level}", [], results)


def _choose(
    branches: list[onnx.GraphProto], outputs: list[str], initializers: _Initializers
) -> list[onnx.NodeProto]:
    """Nested `If`s: level <= 0, else level <= 1, ...; the last branch needs no test."""
    nodes: list[onnx.NodeProto] = []
    last = branches[-1]
    for level in reversed(range(len(branches) - 1)):
        bound = initializers.add(_scalars(f"level_{level}", level))
        names = outputs if level == 0 else [f"above{level}/{name}" for name in outputs]
        nodes = [
            helper.make_node("LessOrEqual", ["level", bound], [f"is_level{level}"]),
            helper.make_node(
                "If", [f"is_level{level}"], names, then_branch=branches[level], else_branch=last
            ),
        ]
        results = []
        for name, value in zip(names, branches[level].output, strict=True):
            result = onnx.ValueInfoProto()
            result.CopyFrom(value)
            result.name = name
            results.append(result)
        last = helper.make_graph(nodes, f"above{level}", [], results)
    if len(branches) == 1:
        return [
            *last.node,
            *(
                helper.make_node("Identity", [value.name], [name])
                for value, name in zip(last.output, outputs, strict=True)
            ),
        ]
    return nodes


def _scalars(name: str, value: int | list[int]) -> onnx.TensorProto:
    dims = [] if isinstance(value, int) else [len(value)]
    return helper.make_tensor(name, TensorProto.INT64, dims, [value] if isinstance(value, int) else value)
