"""Measure the time of a frame at each level: one file for all levels against a file for each level.

    python benchmarks/frame_time.py MODEL_FOLDER [--rounds 100]
    python benchmarks/frame_time.py demucs/base model.router_channels=16   # untrained weights

Times are CPU times of one thread, for streams and for files. All graphs are timed in each round, in random
order, so that a machine whose speed drifts slows all of them; the ratios are the figures to quote. The file
of a single level has only the weights of that level and no choice of levels. The extra time of the file for
all levels is the price of level switching.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from graphs import bound, session, single
from markdown_tables import heading
from sese.export.folder import describe
from sese.export.onnx import network_of, to_onnx
from sese.export.parts import Parts
from sese.nn import checkpoint
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.runtime.artefact import ROUTER, Card, session_options
from sese.runtime.step import Step
from sese.training import config
from turns import in_turn

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
    card = describe(model, options.model.stem, "", {})
    with tempfile.TemporaryDirectory() as folder:
        paths = write(model, card, Path(folder))
        for mode, frames in MODES.items():
            print(f"{options.model.stem}, {mode}; medians of {options.rounds} rounds\n")
            print("\n".join(table(model, card, paths, frames, options.rounds)) + "\n")


def write(model: Enhancer, card: Card, folder: Path) -> dict[Any, Path]:
    """Write the file of all levels, named "all", and a file for each level and number of frames."""
    used = [level.utilization for level in card.levels]
    paths: dict[Any, Path] = {"all": folder / "all.onnx"}
    onnx.save(to_onnx(model, card, used), paths["all"])
    for many in (False, True):
        parts = Parts(model, used, many)
        network = network_of(parts, [prefixes(model, level + 1) for level in range(len(used))])
        for level in range(len(used)):
            frames = Step.LONGEST if many else 1
            paths[level, frames] = folder / f"{level}-{frames}.onnx"
            onnx.save(single(model, parts, network, level), paths[level, frames])
    return paths


def table(model: Enhancer, card: Card, paths: dict[Any, Path], frames: int, rounds: int) -> list[str]:
    """Return lines of a Markdown table of times, for a number of frames per call."""
    levels, top = card.levels, len(card.levels) - 1
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
    ms = {key: 1000 * seconds / frames for key, seconds in in_turn(runs, rounds).items()}
    frame_ms = 1000 * model.hop_length / model.sample_rate
    names = [
        "level",
        "MACs, share",
        "time, share",
        "one file, ms",
        "own file, ms",
        "overhead",
        "operators",
        "RTF",
    ]
    lines = heading(names)
    for case, (level, budget) in cases.items():
        cells = [str(case), "", f"{ms['all', case] / ms['all', top]:.2f}", f"{ms['all', case]:.3f}", "", ""]
        if isinstance(case, int):
            cells[0] = f"{levels[case].utilization:g}"
            cells[1] = f"{levels[case].macs_per_second / levels[top].macs_per_second:.2f}"
            cells[4:] = [f"{ms['own', case]:.3f}", f"{ms['all', case] / ms['own', case] - 1:+.0%}"]
        cells.append(f"{operators(paths['all'], model, frames, level, budget)}")
        cells.append(f"{ms['all', case] / frame_ms:.4f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(levels: int, frames: int) -> NDArray[np.int64]:
    """Return levels that change from frame to frame, low levels more often."""
    shares = np.arange(levels, 0, -1)
    return np.random.default_rng(0).choice(levels, frames, p=shares / shares.sum())


def operators(path: Path, model: Enhancer, frames: int, level: Any, budget: float) -> int:
    """Return the number of operators that one call runs, as counted by the profiler of ONNX Runtime."""
    options = session_options()
    options.enable_profiling, options.profile_file_prefix = True, str(path.parent / "profile")
    opened = session(path, options)
    bound(opened, model, frames, level, budget)()
    events = json.loads(Path(opened.end_profiling()).read_text())
    return sum(event["name"].endswith("_kernel_time") for event in events)


if __name__ == "__main__":
    main()
