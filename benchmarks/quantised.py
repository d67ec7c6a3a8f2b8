"""What 8-bit matrices or half-precision weights would gain and cost, one frame a call.

    python benchmarks/quantised.py MODEL_FOLDER DATA [--clips 24]

DATA holds clean/ and noisy/. Each level's own graph is quantised dynamically by ONNX Runtime (every matrix
of the convolutions, 8-bit weights and activations; ONNX Runtime has no 8-bit GRU), or has its weights stored
in half precision, which ONNX Runtime widens when it opens the file.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from graphs import bound, session, single, timed
from sese.evaluation.metrics import pesq_wb, si_sdr
from sese.evaluation.pairs import find_pairs, read_pair
from sese.export.onnx import network_of
from sese.export.parts import Parts
from sese.nn import checkpoint
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.nn.plan import utilization
from sese.nn.policies.fixed import level_plan
from sese.runtime.artefact import session_options

KINDS = ("float32", "int8", "float16 stored")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    model = checkpoint.load(options.model)
    count = model.sites[0].units
    used = [float(utilization(level_plan(model.sites, level), model.sites)) for level in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        paths = write(model, used, Path(folder))
        opened = {key: session(path) for key, path in paths.items()}
        runs = {key: bound(graph, model, 1, 0) for key, graph in opened.items()}
        taken: dict[tuple[int, str], list[float]] = {key: [] for key in runs}
        for _ in range(options.rounds):
            for key in random.sample(list(runs), len(runs)):
                taken[key].append(timed(runs[key]))
        pairs = [read_pair(pair) for pair in find_pairs(options.data, options.clips)]
        print("| level | weights | ms | MB | PESQ-WB | SI-SDR, dB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for (level, kind), graph in opened.items():
            made = [(clean, enhance(graph, model, noisy)) for clean, noisy in pairs]
            cells = [
                f"{used[level]:g}",
                kind,
                f"{statistics.median(taken[level, kind]):.3f}",
                f"{paths[level, kind].stat().st_size / 1e6:.2f}",
                f"{np.mean([pesq_wb(clean, enhanced, model.sample_rate) for clean, enhanced in made]):.3f}",
                f"{np.mean([si_sdr(clean, enhanced) for clean, enhanced in made]):.2f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def write(model: Enhancer, used: list[float], folder: Path) -> dict[tuple[int, str], Path]:
    """Write every level's own graph, its slices folded, in every kind."""
    parts = Parts(model, used, many=False)
    network = network_of(parts, [prefixes(model, level + 1) for level in range(len(used))])
    paths = {(level, kind): folder / f"{level}-{kind}.onnx" for level in range(len(used)) for kind in KINDS}
    for level in range(len(used)):
        onnx.save(single(model, parts, network, level), folder / "sliced.onnx")
        options = session_options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(paths[level, "float32"])
        session(folder / "sliced.onnx", options)
        quantize_dynamic(paths[level, "float32"], paths[level, "int8"], per_channel=True)
        onnx.save(halved(onnx.load(paths[level, "float32"])), paths[level, "float16 stored"])
    return paths


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large weights in half precision, with a cast after each."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 1000:
            name, half = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def enhance(graph: onnxruntime.InferenceSession, model: Enhancer, noisy: NDArray) -> NDArray[np.float32]:
    """A clip, frame by frame, aligned with the input."""
    hop, late = model.hop_length, model.lookahead_samples
    padded = np.pad(noisy, (0, model.padding(len(noisy)))).astype(np.float32)
    values = graph.get_inputs()
    state = {v.name: np.zeros((1, *v.shape[1:]), np.float32) for v in values if v.name != "audio"}
    names = ["enhanced", *(f"next_{name}" for name in state)]
    parts = []
    for at in range(0, len(padded), hop):
        enhanced, *after = graph.run(names, {"audio": padded[None, None, at : at + hop], **state})
        state = dict(zip(state, after, strict=True))
        parts.append(enhanced[0, 0])
    return np.concatenate(parts)[late : late + len(noisy)]


if __name__ == "__main__":
    main()
