"""What smaller weights and 8-bit arithmetic gain and cost at each level: time, size and quality.

    python benchmarks/quantised.py MODEL_FOLDER DATA [--clips 24] [--calibration percentile]

DATA holds clean/ and noisy/. Each level's own graph, for one frame a call and for the calls of files, is made
in four kinds:

| kind | |
| --- | --- |
| float32 | |
| fp16 | weights in half precision, which ONNX Runtime widens when it opens the file |
| int8 | matrices in 8 bits, the range of their input found in each call |
| int8-static | matrices in 8 bits, ranges found beforehand: QuantizeLinear and DequantizeLinear |

Static ranges come from up to 8 noisy clips of DATA that are not among those measured on or, where there
are none, from the recording that comes with the package. ONNX Runtime calibrates and quantises
statically at the top of a graph alone, and the levels of the one file lie in nested graphs: so static
ranges are measured here. The recipe is the fastest found: 8-bit inputs without sign, float32 outputs,
products whose weights stand on the right. Else ONNX Runtime widens the weights in each call and computes
in float32, in up to nine times the time.

Time is CPU time of one thread, of all kinds of a level in turn within a round, in another order each
time; medians, and in brackets the ratio to float32, the mean of two sessions of it. What those two
differ by is what a ratio can mean. Quality is that of one frame a call.
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
from sese.evaluation.metrics import pesq_wb, si_sdr
from sese.evaluation.pairs import find_pairs, read_pair
from sese.export.onnx import network_of
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
"""Of a call, in streams and in files."""

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
        print("| level | weights | a frame, ms | 64 frames, ms | MB | PESQ-WB | SI-SDR, dB |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
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
                print(f"| {' | '.join(cells)} |", flush=True)


def tell(what: str) -> None:
    """Say on standard error what is done."""
    print(what, file=sys.stderr, flush=True)


def packaged() -> NDArray[np.float32]:
    """The noisy recording that comes with the package ``[time]``."""
    with as_file(files("sese.export") / "noisy_speech.flac") as path:
        return soundfile.read(path, dtype="float32")[0]


def write(
    model: Enhancer, used: list[float], speech: list[NDArray], method: CalibrationMethod, folder: Path
) -> dict[tuple[int, int, str], Path]:
    """Write every level's own graph, its slices folded, for both numbers of frames a call, in every kind."""
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
    """Medians in milliseconds a call, of float32 twice."""
    opened = {kind: session(path) for kind, path in paths.items()}
    opened[AGAIN] = session(paths["float32"])
    runs = {key: bound(graph, model, frames, 0) for key, graph in opened.items()}
    return {key: 1000 * seconds for key, seconds in in_turn(runs, rounds).items()}


class Reader(CalibrationDataReader):
    """A graph's inputs in the course of noisy clips, the states among them.

    Args:
        graph: In float32.
        model: Of which the graph is a level.
        clips: Noisy speech ``[time]``.
        frames: Of a call.
    """

    def __init__(
        self, graph: onnxruntime.InferenceSession, model: Enhancer, clips: list[NDArray], frames: int
    ):
        walk = partial(steps, graph, model, frames=frames)
        self.inputs = (given for clip in clips for given, _ in walk(clip))

    def get_next(self) -> dict[str, Any] | None:
        """Of the next call; None after the last."""
        return next(self.inputs, None)


def steps(
    graph: onnxruntime.InferenceSession, model: Enhancer, noisy: NDArray, frames: int
) -> Iterator[tuple[dict[str, Any], NDArray[np.float32]]]:
    """Inputs and enhanced samples of each call, through a clip ``[time]``."""
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
    """A clip, frame by frame, aligned with the input."""
    late = model.lookahead_samples
    return np.concatenate([part for _, part in steps(graph, model, noisy, 1)])[late : late + len(noisy)]


if __name__ == "__main__":
    main()
