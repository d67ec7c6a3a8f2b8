"""Time of a frame at each level: the one file against a file for each level, streaming and in files.

    python benchmarks/frame_time.py MODEL_FOLDER [--rounds 100]
    python benchmarks/frame_time.py configs/demucs_slim.yaml model.router_channels=16   # untrained weights

CPU time of one thread. All are timed within each round, in another order each time, so that a machine whose
speed drifts slows all of them; the ratios are the figures to quote. A level's own file holds that level's
slices alone and has no choice to make: what the one file takes longer is the price of switching.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper

from sese.export.folder import describe
from sese.export.graph import Initializers, Scope, embed
from sese.export.levels import Levels
from sese.export.onnx import to_onnx, values_of
from sese.export.parts import OPSET, Parts
from sese.nn import checkpoint
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.runtime.artefact import ROUTER, session_options
from sese.runtime.step import Step
from sese.training import config

CALLS = 5
MODES = {"streaming, one frame a call": 1, f"files, {Step.LONGEST} frames a call": Step.LONGEST}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model or run folder, or a configuration")
    parser.add_argument("overrides", nargs="*", help="of a configuration: key.path=value")
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.model.is_dir():
        model = checkpoint.load(options.model)
    else:
        model = config.read(options.model, options.overrides).model.build().eval()
    facts = describe(model, options.model.stem, "", {})
    with tempfile.TemporaryDirectory() as folder:
        paths = write(model, facts, Path(folder))
        for mode, frames in MODES.items():
            print(f"{options.model.stem}, {mode}; medians of {options.rounds} rounds\n")
            print("\n".join(table(model, facts, paths, frames, options.rounds)) + "\n")


def write(model: Enhancer, facts: dict[str, Any], folder: Path) -> dict[Any, Path]:
    """Write the one file, under "all", and a file for each level and number of frames, under the two."""
    used = [level["utilization"] for level in facts["levels"]]
    paths: dict[Any, Path] = {"all": folder / "all.onnx"}
    onnx.save(to_onnx(model, facts, used), paths["all"])
    for many in (False, True):
        parts = Parts(model, used, many)
        network = Levels(parts.network, [prefixes(model, level + 1) for level in range(len(used))])
        for level in range(len(used)):
            frames = Step.LONGEST if many else 1
            paths[level, frames] = folder / f"{level}-{frames}.onnx"
            onnx.save(single(model, parts, network, level), paths[level, frames])
    return paths


def single(model: Enhancer, parts: Parts, network: Levels, level: int) -> onnx.ModelProto:
    """A graph of one level alone."""
    inputs, outputs, _ = values_of(model, len(network.prefixes))
    inputs = {name: value for name, value in inputs.items() if name == "audio" or name.startswith("state.")}
    scope, values = Scope("level", Initializers(), {}), {name: name for name in inputs}
    made = values | embed(scope, parts.features, values)
    made |= network.at(scope, level, made)
    outputs = {name: value for name, value in outputs.items() if name in made}
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


def table(
    model: Enhancer, facts: dict[str, Any], paths: dict[Any, Path], frames: int, rounds: int
) -> list[str]:
    """Time what runs so many frames a call; lines of Markdown."""
    levels, top = facts["levels"], len(facts["levels"]) - 1
    cases: dict[Any, tuple[Any, float]] = {level: (level, 0.0) for level in range(len(levels))}
    if frames > 1:
        cases["changing"] = spread(len(levels), frames), 0.0
    if model.policy is not None:
        cases |= {"router": (ROUTER, 0.0), "router, held at 0.3": (ROUTER, 0.3)}
    everything = session(paths["all"])
    runs: dict[Any, Callable[[], None]] = {}
    for case, (level, budget) in cases.items():
        runs["all", case] = bound(everything, model, frames, level, budget)
        if isinstance(case, int):
            runs["own", case] = bound(session(paths[level, frames]), model, frames, level)
    taken: dict[Any, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key in random.sample(list(runs), len(runs)):
            taken[key].append(timed(runs[key]) / frames)
    ms = {key: statistics.median(values) for key, values in taken.items()}
    frame_ms = 1000 * model.hop_length / model.sample_rate
    lines = [
        "| level | MACs, share | time, share | one file, ms | own file, ms | overhead | operators | RTF |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case, (level, budget) in cases.items():
        cells = [str(case), "", f"{ms['all', case] / ms['all', top]:.2f}", f"{ms['all', case]:.3f}", "", ""]
        if isinstance(case, int):
            cells[0] = f"{levels[case]['utilization']:g}"
            cells[1] = f"{levels[case]['macs_per_second'] / levels[top]['macs_per_second']:.2f}"
            cells[4:] = [f"{ms['own', case]:.3f}", f"{ms['all', case] / ms['own', case] - 1:+.0%}"]
        cells.append(f"{operators(paths['all'], model, frames, level, budget)}")
        cells.append(f"{ms['all', case] / frame_ms:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(levels: int, frames: int) -> NDArray[np.int64]:
    """Levels that change from frame to frame, the cheap ones more often."""
    shares = np.arange(levels, 0, -1)
    return np.random.default_rng(0).choice(levels, frames, p=shares / shares.sum())


def bound(
    opened: onnxruntime.InferenceSession, model: Enhancer, frames: int, level: Any, budget: float = 0.0
) -> Callable[[], None]:
    """A call of a graph on arrays that are made once; the state does not move on."""
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
    """A graph opened for one thread."""
    return onnxruntime.InferenceSession(
        str(path), options or session_options(), providers=["CPUExecutionProvider"]
    )


def operators(path: Path, model: Enhancer, frames: int, level: Any, budget: float) -> int:
    """Operators that one call runs, counted by ONNX Runtime's profiler."""
    options = session_options()
    options.enable_profiling, options.profile_file_prefix = True, str(path.parent / "profile")
    opened = session(path, options)
    bound(opened, model, frames, level, budget)()
    events = json.loads(Path(opened.end_profiling()).read_text())
    return sum(event["name"].endswith("_kernel_time") for event in events)


def timed(run: Callable[[], None]) -> float:
    """Milliseconds of CPU time of one call, mean of a few, after one that is not counted."""
    run()
    start = time.process_time()
    for _ in range(CALLS):
        run()
    return (time.process_time() - start) / CALLS * 1000


if __name__ == "__main__":
    main()
