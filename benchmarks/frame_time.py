"""Measure the time of a frame at each level: one file for all levels against a file for each level.

    python benchmarks/frame_time.py MODEL_FOLDER [--rounds 100]
    python benchmarks/frame_time.py demucs/base model.router_channels=16   # untrained weights
    python benchmarks/frame_time.py MODEL --before CHECKOUT [--rounds 20]

Times are CPU times of one thread, for streams and for files. All graphs are timed in each round, in random
order, so that a machine whose speed drifts slows all of them; the ratios are the figures to quote. The file
of a single level has only the weights of that level and no choice of levels. The extra time of the file for
all levels is the price of level switching.

With `--before`, the package and the model of another checkout of this repository (`git worktree add CHECKOUT
COMMIT`) are timed against these, in two processes that take turns: streams of one frame a chunk, and files.
The least time of each frame of a stream, and of a file, over the rounds counts, as other work on the machine
only adds time. MODEL is the name of a bundled model then, or a folder for both.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from graphs import bound, session, single
from sese.core import tables
from sese.export.folder import describe
from sese.export.level_graphs import network_of
from sese.export.onnx import to_onnx
from sese.export.parts import Parts
from sese.nn import checkpoint
from sese.nn.cost import prefixes
from sese.nn.enhancer import Enhancer
from sese.runtime.artefact import ROUTER, session_options
from sese.runtime.card import Card
from sese.runtime.step import Step
from sese.training import config
from turns import in_turn

WORKER = """
import json, sys
from time import process_time, thread_time
import numpy as np
import sese
from sese.evaluation.timing import noisy_speech
from sese.runtime.artefact import open_artefact

artefact = open_artefact(sys.argv[1])
hop, rate, opened, streams, least = artefact.card.hop_length, artefact.card.sample_rate, {}, {}, {}
speech = np.asarray(noisy_speech(rate), np.float32).reshape(-1)
quiet = np.random.default_rng(0).normal(0, 1e-3, len(speech)).astype(np.float32)
budgets = [level.utilization for level in artefact.card.levels] + ["auto"] * artefact.card.router
print(json.dumps(budgets), flush=True)

for line in sys.stdin:
    mode, budget = json.loads(line)
    if budget not in opened:
        opened[budget] = sese.load(sys.argv[1], budget=budget)
    model = opened[budget]
    sound = quiet if mode == "stream, pause" else speech
    frames = [sound[at : at + hop] for at in range(0, len(sound) - hop + 1, hop)]
    if mode == "files":
        begun = process_time()
        model.enhance(speech, rate)
        seconds = (process_time() - begun) / len(frames)
    else:
        stream = streams.setdefault((mode, budget), model.stream())
        for frame in frames[:100]:  # until it rests, if it can
            stream.feed(frame)
        times = least.setdefault((mode, budget), [float("inf")] * len(frames))
        for number, frame in enumerate(frames):
            begun = thread_time()
            stream.feed(frame)
            times[number] = min(times[number], thread_time() - begun)
        seconds = sum(times) / len(frames)
    print(json.dumps(seconds), flush=True)
"""
"""Program that times a frame of the package that it finds: a line with (mode, budget) in, seconds out. In a
stream these are the mean of the least times of each frame, over all lines with this mode and budget."""

MODES = {"streaming, one frame a call": 1, f"files, {Step.LONGEST} frames a call": Step.LONGEST}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model or run folder, or a configuration")
    parser.add_argument("overrides", nargs="*", help="of a configuration: key.path=value")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--before", type=Path, help="checkout to time against, with MODEL's name or folder")
    options = parser.parse_args()
    if options.before is not None:
        print("\n".join(compared(str(options.model), options.before, options.rounds)))
        return
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
    rows = []
    for case, (level, budget) in cases.items():
        cells = [str(case), "", f"{ms['all', case] / ms['all', top]:.2f}", f"{ms['all', case]:.3f}", "", ""]
        if isinstance(case, int):
            cells[0] = f"{levels[case].utilization:g}"
            cells[1] = f"{levels[case].macs_per_second / levels[top].macs_per_second:.2f}"
            cells[4:] = [f"{ms['own', case]:.3f}", f"{ms['all', case] / ms['own', case] - 1:+.0%}"]
        cells.append(f"{operators(paths['all'], model, frames, level, budget)}")
        cells.append(f"{ms['all', case] / frame_ms:.4f}")
        rows.append(cells)
    return tables.table(names, rows)


def compared(model: str, checkout: Path, rounds: int) -> list[str]:
    """Return lines of a Markdown table of a frame's time in another checkout and in this one."""
    folders = {"before": checkout, "now": Path(__file__).parents[1]}
    workers = {name: Worker(folder / "src", model) for name, folder in folders.items()}
    first, *_ = workers.values()
    budgets = [budget if budget == "auto" else f"fixed:{budget:g}" for budget in first.read()]
    for worker in list(workers.values())[1:]:
        worker.read()
    cases = [(mode, budget) for mode in ("stream, speech", "files") for budget in budgets]
    cases += [("stream, pause", budget) for budget in budgets if budget == "auto"]
    taken: dict[tuple[str, tuple[str, str]], float] = {}
    for _ in range(rounds):
        for case in cases:
            for name in random.sample(list(workers), len(workers)):
                seconds = workers[name].ask(case)
                taken[name, case] = min(seconds, taken.get((name, case), seconds))
    for worker in workers.values():
        worker.close()
    rows = []
    for case in cases:
        before, now = (1e6 * taken[name, case] for name in workers)
        rows.append([*case, f"{before:.0f}", f"{now:.0f}", f"{before - now:.0f}", f"{now / before:.2f}"])
    return tables.table(["mode", "budget", "before, us", "now, us", "less, us", "ratio"], rows)


class Worker:
    """A process that times frames with the package of a folder of sources.

    Args:
        sources: Folder that has the package.
        model: Name or folder of the model.
    """

    def __init__(self, sources: Path, model: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(sources.resolve()), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", WORKER, model]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def read(self) -> Any:
        """Return the next value that the process gives."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(self._process.wait() or 1)
        return json.loads(line)

    def ask(self, case: tuple[str, str]) -> float:
        """Return seconds of a frame for a mode and a budget."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return float(self.read())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


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
