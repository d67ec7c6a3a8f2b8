"""Measure when gates save time: a frame with gates that leave channels out, against the network without
gates.

    python benchmarks/gates.py [--sizes 128x256 512x1024] [--shares 0.1 0.25 0.5 1] [--rounds 100]

The network is Conv-FSENet with untrained weights, streaming, one frame per call; times are CPU times of one
thread. Gates are forced to keep a share of the channels, different ones in each block. All graphs of a size
are timed in each round, in random order. The figures are multiples of the time of the network without gates.
There are four ways to run a block:

- masks: everything is computed, and the closed channels are multiplied by 0
- gather: the exported form; the weights of the open channels are copied together
- gather of groups: the same, with a gate for each of 16 groups of channels
- If of groups: an `If` operator for each of 8 groups
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper

from graphs import bound, session, single
from sese.core import tables
from sese.export.gates import Gated, Way, activated, gather, open_gates
from sese.export.graph import Scope
from sese.export.level_graphs import LevelGraphs
from sese.export.parts import Parts
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.cost import macs_per_frame
from sese.nn.plan import full
from turns import in_turn

GATE_CHANNELS = 8


def masks(scope: Scope, names: Gated, sizes: Mapping[str, int]) -> str:
    """Compute all channels and multiply the closed ones by 0."""
    taps = scope.add("Squeeze", names.taps, scope.constant([1]))
    h = activated(scope, names, scope.add("Mul", names.windows, taps))
    mask = scope.add("Reshape", names.mask, scope.constant([-1]))
    mask = scope.add("Cast", mask, to=TensorProto.FLOAT)
    return scope.add("MatMul", scope.add("Mul", h, mask), names.weight)


def ifs(scope: Scope, names: Gated, sizes: Mapping[str, int]) -> str:
    """Run the open groups one by one."""
    made, group = "", sizes["group"]
    mask = scope.add("Reshape", names.mask, scope.constant([-1]))
    shape = scope.add(
        "Concat", scope.add("Shape", names.windows, end=1), scope.constant([sizes["channels"]]), axis=0
    )
    for start in range(0, sizes["hidden"], group):
        here = scope.constant([start // group])
        opened = scope.add("Reshape", scope.add("Gather", mask, here), scope.constant(np.zeros(0)))
        branches = [
            Scope(name, scope.initializers, {"made": (TensorProto.FLOAT, ["batch", sizes["channels"]])})
            for name in ("on", "off")
        ]
        on, off = branches
        span = on.constant([start]), on.constant([start + group])
        parts = {
            name: on.add("Slice", value, *span, on.constant([1 if name == "windows" else 0]))
            for name, value in vars(names).items()
            if name not in ("mask", "slope")
        }
        own = Gated(mask=names.mask, slope=names.slope, **parts)
        taps = on.add("Squeeze", own.taps, on.constant([1]))
        h = activated(on, own, on.add("Mul", own.windows, taps))
        results = [on.add("MatMul", h, own.weight), off.add("ConstantOfShape", shape)]
        bodies = [branch.graph({"made": result}) for branch, result in zip(branches, results, strict=True)]
        part = scope.add("If", opened, then_branch=bodies[0], else_branch=bodies[1])
        made = scope.add("Add", made, part) if made else part
    return made


WAYS: dict[str, tuple[int, Way]] = {
    "masks": (0, masks),
    "gather": (0, gather),
    "gather of groups": (16, gather),
    "If of groups": (8, ifs),
}
"""Groups, 0 for a gate for each channel, and what stands for a block."""


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["128x256", "256x512", "512x1024"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.25, 0.5, 0.75, 1.0])
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes:
        channels, hidden = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(table(channels, hidden, options.shares, options.rounds, Path(folder))) + "\n")


def table(channels: int, hidden: int, shares: list[float], rounds: int, folder: Path) -> list[str]:
    """Time the graphs of one size and return lines of a Markdown table."""
    runs: dict[tuple[str, float], Callable[[], None]] = {}
    for units in (0, 16, 8):
        torch.manual_seed(0)
        config = ConvFSENetConfig(
            channels=channels, hidden=hidden, units=units or hidden, gate_channels=GATE_CHANNELS
        )
        model = config.build().eval()
        parts = Parts(model, [1.0], many=False, way=None)
        graphs = LevelGraphs(parts.networks)
        if not units:
            dense = folder / "dense.onnx"
            onnx.save(single(model, parts, graphs, 0), dense)
            runs["dense", 1.0] = bound(session(dense), model, 1, 0)
            whole = macs_per_frame(model, full(model.sites)).item()
            gates, static = model.policy.macs(), model.macs()[0]
        for share in shares:
            keep(parts.networks[1], share)
            marked = single(model, parts, graphs, 1)
            for name, (count, way) in WAYS.items():
                if count == units:
                    path = folder / f"{name}-{share}.onnx"
                    proto = onnx.ModelProto()
                    proto.CopyFrom(marked)
                    proto.graph.CopyFrom(open_gates(marked.graph, way))
                    onnx.save(proto, path)
                    runs[name, share] = bound(session(path), model, 1, 0)
    seconds = in_turn(runs, rounds)
    dense_s = seconds["dense", 1.0]
    about = f"{channels} channels, {hidden} hidden, dense {1000 * dense_s:.3f} ms a frame; {rounds} rounds"
    rows = []
    for share in shares:
        macs = (static + share * (whole - static) + gates) / whole
        rows.append(
            [f"{share:g}", f"{macs:.2f}", *(f"{seconds[name, share] / dense_s:.2f}" for name in WAYS)]
        )
    return [about, "", *tables.table(["share kept", "MACs", *WAYS], rows)]


def keep(traced: onnx.GraphProto, share: float) -> None:
    """Force the gates of a traced network to keep a share of their units, whatever their input."""
    rng = np.random.default_rng(0)
    for tensor in traced.initializer:
        if ".outward." not in tensor.name:
            continue
        values = numpy_helper.to_array(tensor)
        if tensor.name.endswith("bias"):
            values = np.where(rng.permutation(len(values)) < max(1, round(share * len(values))), 1.0, -1.0)
        else:
            values = np.sign(values) * 1e-6
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


if __name__ == "__main__":
    main()
