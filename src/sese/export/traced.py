"""Functions of tensors, traced into ONNX graphs.

All are traced in one call, since each call takes seconds, and then cut apart.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from sese.export.views import with_direct_parts, with_short_views
from sese.nn.enhancer import Enhancer

OPSET = 18
Input = tuple[Tensor, int]
"""An example, and the samples a frame if its last axis is any number of frames, else 0."""


@dataclass(frozen=True)
class Part:
    """A function of tensors to trace.

    Attributes:
        run: the function.
        inputs: name of an input -> example.
        outputs: names of the outputs.
        batched: whether the first axis of inputs with several axes is the batch.
        by_frame: names of inputs whose first axis is the frame.
    """

    run: Callable[..., tuple[Tensor, ...]]
    inputs: Mapping[str, Input]
    outputs: Sequence[str]
    batched: bool = True
    by_frame: tuple[str, ...] = ()

    def axes(self, name: str) -> list[dict[int, Any]]:
        """Return for each input the axes that may have any size; parts share none, so that each is alone."""
        batch = torch.export.Dim(f"{name}_batch", min=1)
        frames = torch.export.Dim(f"{name}_frames", min=2, max=256)
        return [
            ({0: batch} if self.batched and example.ndim > 1 else {})
            | ({example.ndim - 1: samples * frames} if samples else {})
            | ({0: frames} if named in self.by_frame and len(example) > 1 else {})
            for named, (example, samples) in self.inputs.items()
        ]


class _Together(nn.Module):
    """Run parts side by side in a module that holds their network, so that the trace names the weights."""

    def __init__(self, model: Enhancer, parts: Mapping[str, Part]):
        super().__init__()
        self.model, self.parts = model, parts

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        given = iter(values)
        results: list[Tensor] = []
        for part in self.parts.values():
            results += part.run(*(next(given) for _ in part.inputs))
        return tuple(results)


def trace(model: Enhancer, parts: Mapping[str, Part]) -> dict[str, onnx.GraphProto]:
    """Trace parts of a network, and return a graph for each."""
    inputs = {f"{at}/{name}": value for at, part in parts.items() for name, value in part.inputs.items()}
    logging.disable(logging.WARNING)  # the exporter warns about packages that this model does not use
    try:
        with warnings.catch_warnings(), torch.no_grad():  # layers may choose another way for gradients
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Together(model, parts).eval(),
                tuple(example for example, _ in inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=[f"{at}/{name}" for at, part in parts.items() for name in part.outputs],
                dynamic_shapes=(tuple(axes for at, part in parts.items() for axes in part.axes(at)),),
                verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    graph = with_direct_parts(program.model_proto.graph)
    return {at: _cut(graph, at, part) for at, part in parts.items()}


def _cut(traced: onnx.GraphProto, at: str, part: Part) -> onnx.GraphProto:
    """Return the graph of one part, from a graph of several side by side, with the inputs that it reads."""
    needed, nodes = {f"{at}/{name}" for name in part.outputs}, []
    for node in reversed(traced.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [name.removeprefix(f"{at}/") for name in node.input]
            copy.output[:] = [name.removeprefix(f"{at}/") for name in node.output]
            nodes.append(copy)
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
        for names in ([name for name in part.inputs if f"{at}/{name}" in needed], part.outputs)
    )
    weights = [tensor for tensor in traced.initializer if tensor.name in needed]
    return with_short_views(helper.make_graph(nodes[::-1], at, inputs, outputs, weights))
