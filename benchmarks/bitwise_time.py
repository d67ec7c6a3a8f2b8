"""Measure size and time of a bitwise network: packed bits against ONNX Runtime in float32 and in int8.

    python benchmarks/bitwise_time.py bitwise/gru_small [key=value ...]

All implementations run the same network, from codes to masks, one frame per call and in one thread. Weights
are random, since time does not depend on them. The masks of all implementations are compared. Implementations
are timed in turn within one run, so the ratios are the figures to quote.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sese.bits import bitwise
from sese.bits.words import pack
from sese.core import compiled
from sese.evaluation.report import table
from sese.export.packed import packed
from sese.nn.backbones.bitwise import Bitwise, BitwiseConfig
from sese.nn.layers.bitwise import BitwiseLinear
from sese.runtime.artefact import session_options
from sese.training.config import read
from turns import in_turn

FRAMES, ROUNDS = 50, 40
STATM = Path("/proc/self/statm")

PAGES = "pages = lambda: int(open('/proc/self/statm').read().split()[1])\n"
OPEN_ONNX = f"""
import numpy, onnxruntime
from sese.runtime.artefact import session_options
{PAGES}before = pages()
session = onnxruntime.InferenceSession({{path!r}}, session_options(), providers=["CPUExecutionProvider"])
kinds = {{{{"tensor(float)": "float32", "tensor(uint8)": "uint8"}}}}
feeds = {{{{v.name: numpy.zeros(v.shape, kinds[v.type]) for v in session.get_inputs()}}}}
session.run(None, feeds)
print(pages() - before)
"""
OPEN_PACKED = f"""
import numpy
from sese.bits import bitwise, kernel
{PAGES}before = pages()
network = bitwise.Network(bitwise.load({{path!r}}, {{kernel!r}}))
network.step(network.codes(numpy.ones(network.facts.bins)), network.fresh())
print(pages() - before)
"""

Step = Callable[[NDArray[np.bool_]], NDArray[np.float32]]
"""Codes (bit,) of a frame -> its mask (bin,); the state stays inside."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(as_table(measure(read(options.config, options.overrides).model)))


def measure(config: BitwiseConfig, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Measure each implementation.

    Returns:
        A row for each: bytes of its file, bytes of its weights, bytes by which a process grows when it opens
            the
        file, and microseconds per frame.
    """
    torch.manual_seed(0)
    model = config.build()
    backbone = model.backbone
    codes = np.random.default_rng(0).random((FRAMES, backbone.inputs)) < 0.5
    rows, steps = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in (("ONNX Runtime, float32", np.float32), ("ONNX Runtime, int8", np.uint8)):
            path = Path(folder) / f"{kind.__name__}.onnx"
            onnx.save(graph(backbone, kind), path)
            step = in_onnx(path, backbone, kind)
            weights = sum(p.numel() for n, p in backbone.named_parameters() if n.endswith("weight"))
            size = weights * np.dtype(kind).itemsize
            rows.append({"way": name, "name": path.name, "file": path.stat().st_size, "memory": size})
            steps.append(step)
        path = Path(folder) / bitwise.FILE
        bitwise.save(packed(model), path)
        for name in ("numpy", "c"):
            if name == "c" and compiled.compiler() is None:
                continue
            network = bitwise.Network(bitwise.load(path, name))  # type: ignore[arg-type]
            rows.append(
                {
                    "way": f"packed, {name}",
                    "name": path.name,
                    "file": path.stat().st_size,
                    "memory": network.packed.nbytes,
                }
            )
            steps.append(in_bits(network))
        for row in rows:
            row["grown"] = grown(row["way"], Path(folder) / row.pop("name"))
        made = [np.stack([step(code) for code in codes]) for step in steps]
        for other in made[1:]:
            np.testing.assert_allclose(other, made[0], atol=1e-5)
        runs = {number: partial(run_all, step, codes) for number, step in enumerate(steps)}
        for number, seconds in in_turn(runs, rounds, calls=1).items():
            rows[number]["microseconds"] = 1e6 * seconds / len(codes)
    return rows


def run_all(step: Step, codes: NDArray[np.bool_]) -> None:
    """Run frames [frame, bit] one by one."""
    for code in codes:
        step(code)


def grown(way: str, path: Path) -> int:
    """Return the bytes by which a new process grows when it opens a file and runs a frame; 0 if unknown."""
    if not STATM.exists():
        return 0
    code = OPEN_ONNX if path.suffix == ".onnx" else OPEN_PACKED
    code = code.format(path=str(path), kernel="c" if way.endswith("c") else "numpy")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) * os.sysconf("SC_PAGE_SIZE")


def in_bits(network: bitwise.Network) -> Step:
    """Return a function that runs a frame of a packed network."""
    state = network.fresh()
    return lambda code: network.step(pack(code), state)


def in_onnx(path: Path, backbone: Bitwise, kind: Any) -> Step:
    """Return a function that runs a frame of a file written by `graph`."""
    session = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    zero = 1 if kind is np.uint8 else 0
    state = {name: np.full((1, backbone.hidden), zero, kind) for name in names[1:]}

    def step(code: NDArray[np.bool_]) -> NDArray[np.float32]:
        x = np.where(code, zero + 1, zero - 1).astype(kind)[None]
        mask, *after = session.run(names, {"codes": x} | {f"old_{name}": v for name, v in state.items()})
        state.update(zip(names[1:], after, strict=True))
        return mask[0]

    return step


def graph(backbone: Bitwise, kind: Any) -> onnx.ModelProto:
    """Build a graph of one frame of a network, in float32 or in 8 bits.

    8-bit weights are signed and values are unsigned (0, 1, 2 for -1, 0, +1), which ONNX Runtime runs fastest.
    """
    whole = kind is np.uint8
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    inputs = [helper.make_tensor_value_info("codes", element, [1, backbone.inputs])]
    outputs = [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, backbone.bins])]

    def constant(value: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value), f"w{len(weights)}"))
        return weights[-1].name

    def add(kind: str, *given: str, out: str = "", **attributes: Any) -> str:
        made = out or f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, list(given), [made], **attributes))
        return made

    def products(layer: BitwiseLinear, x: str) -> str:
        matrix = constant(layer.bits().weight.numpy().T.astype(np.int8 if whole else np.float32).copy())
        return add("MatMulInteger", x, matrix, none) if whole else add("MatMul", x, matrix)

    def above(layer: BitwiseLinear, x: str) -> str:
        least = torch.round(0.5 - layer.bits().offset).numpy()
        least = least.astype(np.int32 if whole else np.float32)
        return add("GreaterOrEqual", products(layer, x), constant(least))

    one, minus, none = (constant(np.array(value, kind)) for value in ((2, 0, 1) if whole else (1, -1, 0)))
    x = "codes"
    for n, layer in enumerate(backbone.layers):
        if isinstance(layer, BitwiseLinear):
            x = add("Where", above(layer, x), one, minus)
            continue
        old, new = f"old_h{n}", f"h{n}"
        inputs.append(helper.make_tensor_value_info(old, element, [1, backbone.hidden]))
        outputs.append(helper.make_tensor_value_info(new, element, [1, backbone.hidden]))
        both = above(layer.gates, add("Concat", x, old, axis=1))
        halves = [constant(np.array([backbone.hidden * i])) for i in range(3)]
        axis = constant(np.array([1]))
        reset, update = (add("Slice", both, halves[i], halves[i + 1], axis) for i in range(2))
        heard = add("Where", reset, old, none)
        made = add("Where", above(layer.candidate, add("Concat", x, heard, axis=1)), one, minus)
        x = add("Where", update, made, old, out=new)
    last = backbone.mask
    if backbone.output == "hard":
        add("Cast", above(last, x), out="mask", to=TensorProto.FLOAT)
    else:
        sums = add("Cast", products(last, x), to=TensorProto.FLOAT)
        scaled = add("Mul", sums, constant(np.float32(2 * float(last.bits().scale))))
        add("Sigmoid", add("Add", scaled, constant(2 * last.bias.detach().numpy())), out="mask")
    made = helper.make_graph(nodes, "step", inputs, outputs, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return sizes and times as a Markdown table, with ratios to float32."""
    header = ["way", "file, kB", "weights, kB", "of float32", "process grows, kB", "us a frame", "of float32"]
    whole = rows[0]
    cells = [
        [
            row["way"],
            f"{row['file'] / 1000:.0f}",
            f"{row['memory'] / 1000:.0f}",
            f"{row['memory'] / whole['memory']:.3f}",
            f"{row['grown'] / 1000:.0f}",
            f"{row['microseconds']:.1f}",
            f"{row['microseconds'] / whole['microseconds']:.2f}",
        ]
        for row in rows
    ]
    return "\n".join(table(header, cells))


if __name__ == "__main__":
    main()
