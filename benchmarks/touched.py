"""Bytes of weights and states that one frame of an ONNX file uses, for benchmarks/instructions.py.

ONNX Runtime prepares the graph for one frame at one level, as it does when it opens a file: what is constant
is computed, and only the branches of that level stay. Counted are the constants that its nodes use, once
each, and the states that a node other than a copy reads. Tables inside ONNX Runtime (of Fourier transforms)
and what it computes on the way are not counted.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from sese.core.errors import InputError
from sese.runtime.artefact import session_options
from sese.runtime.onnx_file import check_file

AUTOMATIC, LARGEST = -1, 1 << 30


@dataclass(frozen=True)
class Touched:
    """Bytes that one frame of a network reads.

    Attributes:
        weights: Bytes of the constants; None where they are not known.
        states: Bytes of the states.
    """

    weights: int | None
    states: int


def touched(path: str | Path, hop: int = 0, level: int | None = None) -> Touched:
    """Return the bytes that a frame of a file uses.

    Args:
        path: The ONNX file.
        hop: Samples in a frame of a model of sese.
        level: Level of a model of sese; -1 where it rests: of the branches that the signal chooses, those
            with the fewest bytes count. None for the file of a peer, whose first input is the signal.

    Raises:
        InputError: The file cannot be read or prepared.
    """
    try:
        check_file(Path(path))
        model = onnx.load(str(path))
    except Exception as error:  # protocol buffers raise their own
        raise InputError(f"{path} cannot be opened as ONNX ({error}); name a network") from error
    graph = model.graph
    if level is not None:
        fixed = {"level": np.array([level]), "budget": np.float32(0), "ceiling": np.array(LARGEST)}
        for value in list(graph.input):
            if value.name in fixed:
                graph.input.remove(value)
                graph.initializer.append(numpy_helper.from_array(np.asarray(fixed[value.name]), value.name))
    for value in graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in ("time", "samples") and hop:
                axis.dim_value = hop
            elif not axis.HasField("dim_value"):
                axis.dim_value = 1
    prepared = _prepared(model, path).graph
    signal = "audio" if level is not None else graph.input[0].name
    used, _ = _used(prepared, {})
    states = {value.name for value in prepared.input} - {signal}
    return Touched(
        sum(size for name, size in used.items() if name not in states | {signal}),
        sum(size for name, size in used.items() if name in states),
    )


def _prepared(model: onnx.ModelProto, path: str | Path) -> onnx.ModelProto:
    """Return a model as ONNX Runtime runs it, without what depends on the processor."""
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "prepared.onnx")
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises a dozen kinds, without a common base
            raise InputError(f"{path} cannot be prepared by ONNX Runtime ({error})") from error
        return onnx.load(options.optimized_model_filepath)


def _used(graph: onnx.GraphProto, outer: dict[str, int]) -> tuple[dict[str, int], set[str]]:
    """Return what the nodes of a graph use -> bytes, and the names of all values that its outputs need.

    Args:
        graph: Nodes that no output needs, left over from other levels, do not count.
        outer: Bytes of the constants and inputs of the graphs around this one.
    """
    sizes = outer | {value.name: _bytes_of_value(value) for value in graph.input}
    sizes |= {each.name: _bytes(each.dims, each.data_type) for each in graph.initializer}
    used: dict[str, int] = {}
    needed = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if not needed.intersection(node.output):
            continue
        branches = [_used(branch, sizes) for branch in _branches(node)]
        if node.op_type == "If":
            branches = [min(branches, key=lambda branch: sum(branch[0].values()))]
        needed.update(node.input, *(names for _, names in branches))
        if node.op_type not in ("Constant", "Identity"):
            used |= {name: sizes[name] for name in node.input if name in sizes}
        for inside, _ in branches:
            used |= inside
    return used, needed


def _branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _bytes_of_value(value: Any) -> int:
    kind = value.type.tensor_type
    return _bytes([axis.dim_value or 1 for axis in kind.shape.dim], kind.elem_type)


def _bytes(shape: Any, kind: int) -> int:
    return math.prod(shape) * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
