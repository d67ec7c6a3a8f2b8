"""Measure gains and costs of smaller weights and 8-bit arithmetic at each level: time, size and quality.

    python benchmarks/quantised.py MODEL_FOLDER DATA [--clips 24] [--calibration percentile]

DATA has the folders clean/ and noisy/. The graph of each level, for calls of one frame and for the calls of
files, is written in four kinds:

| kind | |
| --- | --- |
| float32 | |
| fp16 | weights in half precision, which ONNX Runtime widens when it opens the file |
| int8 | matrices in 8 bits, with the range of their input measured in each call |
| int8-static | matrices in 8 bits, with fixed ranges: QuantizeLinear and DequantizeLinear |

Fixed ranges are measured on up to 8 noisy clips of DATA that are not scored or, if there are none, on the
recording in the package. ONNX Runtime calibrates and quantises statically only at the top of a graph, but the
levels of the one file are nested graphs, so fixed ranges are measured here. The recipe is the fastest one
found: unsigned 8-bit inputs, float32 outputs, and products with the weights on the right. With other recipes
ONNX Runtime widens the weights in each call and computes in float32, which takes up to nine times as long.

Times are CPU times of one thread. All kinds of a level are timed in each round, in random order. The table
has medians and, in brackets, ratios to float32, which is the mean of two sessions. The difference between
these two sessions shows the uncertainty of a ratio. Quality is that of one frame per call.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from graphs import bound, session, single
from sese.core.tables import row, table
from sese.evaluation.metrics import pesq_wb, si_sdr
from sese.evaluation.pairs import find_pairs, read_pair
from sese.export.level_graphs import network_of
from sese.export.parts import Parts
from sese.export.quantise import MATRICES, half_weights
from sese.nn import checkpoint
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.nn.plan import utilization
from sese.nn.policies.fixed import level_plan
from sese.runtime.artefact import session_options
from sese.runtime.step import Step
from turns import in_turn

KINDS = ("float32", "fp16", "int8", "int8-static")
FRAMES = (1, Step.LONGEST)
"""Number of frames in a call, in streams and in files."""

AGAIN = "float32, again"
CALIBRATING = 8
"""Clips at most."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--calibration", choices=["minmax", "entropy", "percentile"], default="percentile")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises on what is done here
    model = checkpoint.load(options.model)
    count = max(site.units for site in model.sites)
    used = [float(utilization(level_plan(model.sites, level), model.sites).mean()) for level in range(count)]
    measured = find_pairs(options.data, options.clips)
    names = {pair.name for pair in measured}
    rest = [pair for pair in find_pairs(options.data) if pair.name not in names]
    pairs = [read_pair(pair) for pair in measured]
    speech = [read_pair(pair)[1] for pair in rest[:CALIBRATING]] or [packaged()]
    method = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }[options.calibration]
    with tempfile.TemporaryDirectory() as folder:
        paths = write(model, used, speech, method, Path(folder))
        tell("timing and scoring")
        print(
            f"{options.model.name}; {len(pairs)} clips, calibrated ({options.calibration}) on {len(speech)}\n"
        )
        header = ["level", "weights", "a frame, ms", "64 frames, ms", "MB", "PESQ-WB", "SI-SDR, dB"]
        print("\n".join(table(header, [])))
        for level in range(count):
            own = {
                frames: {kind: paths[level, frames, kind] for kind in KINDS} for frames in (1, Step.LONGEST)
            }
            times = [time_all(model, own[1], 1, options.rounds)]
            times.append(time_all(model, own[Step.LONGEST], Step.LONGEST, options.rounds))
            for kind in (*KINDS, AGAIN):
                cells = [f"{used[level]:.3g}", kind]
                cells += [f"{t[kind]:.3f} ({2 * t[kind] / (t['float32'] + t[AGAIN]):.2f})" for t in times]
                if kind in KINDS:
                    graph = session(own[1][kind])
                    made = [(clean, enhance(graph, model, noisy)) for clean, noisy in pairs]
                    cells += [
                        f"{own[1][kind].stat().st_size / 1e6:.2f}",
                        f"{np.mean([pesq_wb(*both, model.sample_rate) for both in made]):.3f}",
                        f"{np.mean([si_sdr(*both) for both in made]):.2f}",
                    ]
                else:
                    cells += ["", "", ""]
                print(row(cells), flush=True)


def tell(what: str) -> None:
    """Print progress on standard error."""
    print(what, file=sys.stderr, flush=True)


def packaged() -> NDArray[np.float32]:
    """Return the noisy recording in the package, [time]."""
    with as_file(files("sese.export") / "noisy_speech.flac") as path:
        return soundfile.read(path, dtype="float32")[0]


def write(
    model: Enhancer, used: list[float], speech: list[NDArray], method: CalibrationMethod, folder: Path
) -> dict[tuple[int, int, str], Path]:
    """Write the graph of every level, slices folded, for both numbers of frames and in every kind."""
    paths = {}
    for frames in FRAMES:
        tell(f"tracing for {frames} frame(s) a call")
        parts = Parts(model, used, many=frames > 1)
        network = network_of(parts, [prefixes(model, level + 1) for level in range(len(used))])
        for level in range(len(used)):
            tell(f"quantising level {used[level]:.3g}")
            own = {kind: folder / f"{level}-{frames}-{kind}.onnx" for kind in KINDS}
            onnx.save(single(model, parts, network, level), folder / "sliced.onnx")
            options = session_options()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(own["float32"])
            session(folder / "sliced.onnx", options)
            half_weights(own["float32"], own["fp16"])
            quantize_dynamic(
                own["float32"], own["int8"], op_types_to_quantize=list(MATRICES), per_channel=True
            )
            reader = Reader(session(own["float32"]), model, speech, frames)
            quantise_statically(own["float32"], own["int8-static"], reader, method)
            paths |= {(level, frames, kind): path for kind, path in own.items()}
    return paths


def quantise_statically(
    source: Path, target: Path, reader: CalibrationDataReader, method: CalibrationMethod
) -> None:
    """Quantise the products that ONNX Runtime then computes in 8 bits."""
    model = onnx.load(source)
    weights = {tensor.name for tensor in model.graph.initializer}
    nodes, chosen = [], []
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}.{number}"
        if node.op_type not in MATRICES or node.input[1] not in weights:
            nodes.append(node)
            continue
        chosen.append(node.name)
        if node.op_type == "MatMul" or len(node.input) < 3 or node.input[2] in weights:
            nodes.append(node)
            continue
        facts = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if facts.pop("transB", 0) or set(facts.values()) - {0, 1.0}:
            raise ValueError(f"{source}: {node.name} with {facts} is not a product and a sum")
        # what is added is no constant: that has no 8-bit kernel as one node
        apart = f"{node.output[0]}.product"
        nodes.append(helper.make_node("MatMul", node.input[:2], [apart], node.name))
        nodes.append(helper.make_node("Add", [apart, node.input[2]], node.output))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    apart_path = source.with_suffix(".apart.onnx")
    onnx.save(model, apart_path)
    with contextlib.redirect_stdout(sys.stderr):
        quantize_static(
            apart_path,
            target,
            reader,
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            calibrate_method=method,
            extra_options={"CalibPercentile": 99.99, "OpTypesToExcludeOutputQuantization": list(MATRICES)},
        )


def time_all(model: Enhancer, paths: dict[str, Path], frames: int, rounds: int) -> dict[str, float]:
    """Return median milliseconds per call, with float32 twice."""
    opened = {kind: session(path) for kind, path in paths.items()}
    opened[AGAIN] = session(paths["float32"])
    runs = {key: bound(graph, model, frames, 0) for key, graph in opened.items()}
    return {key: 1000 * seconds for key, seconds in in_turn(runs, rounds).items()}


class Reader(CalibrationDataReader):
    """Yield the inputs of a graph, including the states, while it enhances noisy clips.

    Args:
        graph: Graph in float32.
        model: Model that the graph is a level of.
        clips: Noisy speech, [time] each.
        frames: Frames per call.
    """

    def __init__(
        self, graph: onnxruntime.InferenceSession, model: Enhancer, clips: list[NDArray], frames: int
    ):
        walk = partial(steps, graph, model, frames=frames)
        self.inputs = (given for clip in clips for given, _ in walk(clip))

    def get_next(self) -> dict[str, Any] | None:
        """Return the inputs of the next call; None after the last."""
        return next(self.inputs, None)


def steps(
    graph: onnxruntime.InferenceSession, model: Enhancer, noisy: NDArray, frames: int
) -> Iterator[tuple[dict[str, Any], NDArray[np.float32]]]:
    """Yield inputs and enhanced samples of each call, for a clip [time]."""
    size = frames * model.hop_length
    padded = np.pad(noisy, (0, model.padding(len(noisy)))).astype(np.float32)
    padded = np.pad(padded, (0, -len(padded) % size))
    values = graph.get_inputs()
    state = {v.name: np.zeros((1, *v.shape[1:]), np.float32) for v in values if v.name != "audio"}
    names = ["enhanced", *(f"next_{name}" for name in state)]
    for at in range(0, len(padded), size):
        given = {"audio": padded[None, None, at : at + size], **state}
        enhanced, *after = graph.run(names, given)
        state = dict(zip(state, after, strict=True))
        yield given, enhanced[0, 0]


def enhance(graph: onnxruntime.InferenceSession, model: Enhancer, noisy: NDArray) -> NDArray[np.float32]:
    """Enhance a clip frame by frame, aligned with the input."""
    late = model.lookahead_samples
    return np.concatenate([part for _, part in steps(graph, model, noisy, 1)])[late : late + len(noisy)]


if __name__ == "__main__":
    main()
