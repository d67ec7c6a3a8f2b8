"""Measure a device and print a row of docs/guides/devices.md.

    pip install .    # in a clone of the repository, without extras
    python benchmarks/device.py
    python benchmarks/device.py --name "Raspberry Pi 5" --peer GTCRN=gtcrn_simple.onnx --rnnoise

This file needs `sese` without extras, and no other file. It runs for less than two minutes on one thread. It
prints the machine, the time of a frame of 16 ms, the real-time factor of files, and the memory.

The times are medians: of streams by the clock, of files by processor time. In streams each call has one
frame. All budgets take turns, 20 frames each, so that a device that becomes hot slows all of them. `rest` is
the budget auto in a pause, where the model rests. Memory is the most that the process held with the model
open and a stream at each budget.

A peer is an ONNX file that computes one frame at 16 kHz: its first input and output are a spectrum (1, bins,
1, 2) or audio (1, samples); its other inputs and outputs are states in the same order. Its transforms are
not timed. RNNoise is the library of the package `pyrnnoise`, of the system, or that of `--rnnoise LIBRARY`;
frames of 10 ms are converted to 16 ms.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import importlib.util
import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import onnxruntime

import sese
from sese.evaluation.timing import noisy_speech

RATE, FRAME_MS = 16_000, 16.0
RUN, LEAST_TURNS = 20, 2  # frames in a turn; the first turn is not counted
FILE_SECONDS = 5
RNNOISE_FRAME, RNNOISE_RATE = 480, 48_000
HEADING = (
    "machine",
    "cores",
    "system",
    "Python",
    "ONNX Runtime",
    "network",
    "budgets",
    "ms for 16 ms, streams",
    "real-time factor, files",
    "memory, MB",
)


class Refused(Exception):
    """Tells in one line what was wrong and what to do."""


def main(words: list[str] | None = None) -> int:
    """Print the rows and return the exit code: 0 done, 2 bad input, 130 interrupted."""
    options = _options(words)
    try:
        print("\n".join(report(options)))
    except (Refused, sese.InputError) as error:
        print(f"device: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("device: interrupted", file=sys.stderr)
        return 130
    return 0


def _options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="name, folder or file; the default model if not given")
    parser.add_argument("--name", help="name of the machine; the system's own if not given")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="time for streams, and as much for files [default: 30]"
    )
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH.onnx", help="other network")
    parser.add_argument(
        "--rnnoise", nargs="?", const="", metavar="LIBRARY", help="time RNNoise too; its library if named"
    )
    return parser.parse_args(words)


def report(options: argparse.Namespace) -> list[str]:
    """Return the lines of the table: a row of the model, and one for each other network.

    Raises:
        Refused, sese.InputError: An option cannot be used.
    """
    if not 0 < options.seconds <= 600:
        raise Refused(f"--seconds is {options.seconds:g}; give a number above 0, up to 600")
    enhancer = sese.load(options.model)
    if enhancer.card.sample_rate != RATE:
        raise Refused(
            f"{enhancer.card.name} runs at {enhancer.card.sample_rate} Hz; name a model at {RATE} Hz"
        )
    budgets = budgets_of(enhancer.card)
    feeds = [stream_feed(enhancer, budget) for budget in budgets.values()]
    memory = peak_mb()  # before anything else is opened
    others = [read_peer(text) for text in options.peer]
    if options.rnnoise is not None:
        others.append(("RNNoise", rnnoise(options.rnnoise)))
    _say(f"{enhancer.card.name}: {', '.join(budgets)}; takes about {2 * options.seconds:.0f} s")
    times = time_in_turn([*feeds, *(feed for _, feed in others)], options.seconds)
    factors = time_files(enhancer, list(budgets.values()), options.seconds)
    model = f"{enhancer.card.name} ({sese.__version__})"
    cells = [model, " / ".join(budgets), _joined(times[: len(feeds)]), _joined(factors), memory]
    rows = [cells]
    for (name, _), time in zip(others, times[len(feeds) :], strict=True):
        rows.append([name, "", _joined([time]), "", ""])
    facts = machine(options.name)
    return [_row(HEADING), _row(["---"] * len(HEADING)), *(_row([*facts, *row]) for row in rows)]


def budgets_of(card: Any) -> dict[str, str]:
    """Return the budget of each column by its name: levels, then the router, then its pauses."""
    budgets = {f"{level.utilization:.2g}": f"fixed:{level.utilization:g}" for level in card.levels}
    if card.alternatives:
        budgets = {f"level {number}": f"fixed:{number}" for number in range(1, len(card.levels) + 1)}
    if card.router:
        budgets["auto"] = "auto"
    if card.rests:
        budgets["rest"] = "rest"
    return budgets


def stream_feed(enhancer: Any, budget: str) -> Callable[[], float]:
    """Return a function that enhances the next frame of a stream and returns the milliseconds for 16 ms."""
    stream = enhancer.stream(budget="auto" if budget == "rest" else budget)
    frames = _frames(_pause() if budget == "rest" else noisy_speech(RATE), enhancer.card.hop_length)
    scale = RATE / 1000 / enhancer.card.hop_length * FRAME_MS
    number = 0

    def feed() -> float:
        nonlocal number
        frame = frames[number % len(frames)]
        number += 1
        start = perf_counter()
        stream.feed(frame)
        return 1000 * (perf_counter() - start) * scale

    for _ in range(RATE * 3 // enhancer.card.hop_length if budget == "rest" else 1):
        feed()  # until it rests
    return feed


def time_in_turn(feeds: list[Callable[[], float]], seconds: float) -> list[float]:
    """Return the median of each function's values; they take turns of RUN calls for some seconds."""
    values: list[list[float]] = [[] for _ in feeds]
    start, turn = perf_counter(), 0
    while turn <= LEAST_TURNS or perf_counter() - start < seconds:
        for feed, taken in zip(feeds, values, strict=True):
            fresh = [feed() for _ in range(RUN)]
            taken += fresh[RUN // 4 :] if turn else []  # the weights are in the cache by then
        turn += 1
    return [float(np.median(taken)) for taken in values]


def time_files(enhancer: Any, budgets: list[str], seconds: float) -> list[float]:
    """Return the real-time factor of each budget in files, the median of rounds that fit into the time."""
    audio = np.resize(noisy_speech(RATE), FILE_SECONDS * RATE)
    quiet = np.resize(_pause(), FILE_SECONDS * RATE)
    values: list[list[float]] = [[] for _ in budgets]
    start, rounds, longest = perf_counter(), 0, 0.0
    while not rounds or perf_counter() - start + longest < seconds:
        begun = perf_counter()
        for budget, taken in zip(budgets, values, strict=True):
            rest = budget == "rest"
            stream = enhancer.stream(budget="auto" if rest else budget, latency="high")
            first = process_time()
            stream.feed(quiet if rest else audio)
            stream.flush()
            taken.append((process_time() - first) / FILE_SECONDS)
        longest = max(longest, perf_counter() - begun)
        rounds += 1
    return [float(np.median(taken)) for taken in values]


def read_peer(text: str) -> tuple[str, Callable[[], float]]:
    """Return the name of a peer, and a function that runs a frame and returns the milliseconds for 16 ms.

    Raises:
        Refused: The file cannot be used.
    """
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise Refused(f"--peer is {text!r}; give NAME=PATH.onnx")
    if not Path(path).is_file():
        raise Refused(f"--peer {name}: there is no file {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        shapes = [[n if isinstance(n, int) else 1 for n in each.shape] for each in session.get_inputs()]
        random = np.random.default_rng(0).normal(0, 0.1, shapes[0]).astype(np.float32)
        values = [random, *(np.zeros(shape, np.float32) for shape in shapes[1:])]
        made = session.run(None, dict(zip(names, values, strict=True)))
        agree = [value.shape for value in made[1:]] == [value.shape for value in values[1:]]
    except Exception as error:  # ONNX Runtime raises a dozen kinds, without a common base
        first = str(error).strip().splitlines()[0][:200]
        raise Refused(f"--peer {name}: {path} cannot be run ({first}); name a streaming network") from error
    shape = made[0].shape
    if not agree or not (len(shape) == 4 or made[0].size == shape[-1]):
        raise Refused(f"--peer {name}: {path} does not return its states in the order in which it takes them")
    hop = shape[1] - 1 if len(shape) == 4 else shape[-1]

    def feed() -> float:
        start = perf_counter()
        made = session.run(None, dict(zip(names, values, strict=True)))
        taken = perf_counter() - start
        values[1:] = made[1:]
        return 1000 * taken * FRAME_MS * RATE / 1000 / hop

    return name, feed


def rnnoise(path: str) -> Callable[[], float]:
    """Return a function that runs a frame of RNNoise and returns the milliseconds for 16 ms.

    Args:
        path: Path of the library; empty for that of a package or of the system.

    Raises:
        Refused: There is no library, or it is not RNNoise.
    """
    found = importlib.util.find_spec("pyrnnoise")
    if not path and found is not None and found.origin:
        shipped = Path(found.origin).parent / "librnnoise.so"
        path = str(shipped) if shipped.exists() else ""
    path = path or ctypes.util.find_library("rnnoise") or ""
    if not path:
        raise Refused("--rnnoise: no library is installed; run: pip install --no-deps pyrnnoise==0.4.5")
    try:
        library = ctypes.CDLL(path)
        create, process = library.rnnoise_create, library.rnnoise_process_frame
    except (OSError, AttributeError) as error:
        raise Refused(f"--rnnoise: {path} is not a library of RNNoise for this machine ({error})") from error
    create.argtypes, create.restype = [ctypes.c_void_p], ctypes.c_void_p
    process.argtypes, process.restype = [ctypes.c_void_p] * 3, ctypes.c_float
    state = create(None)
    frames = _frames(32768 * noisy_speech(RNNOISE_RATE), RNNOISE_FRAME)
    number, frame = 0, np.zeros(RNNOISE_FRAME, np.float32)

    def feed() -> float:
        nonlocal number
        frame[:] = frames[number % len(frames)]
        number += 1
        start = perf_counter()
        process(state, frame.ctypes.data, frame.ctypes.data)
        return 1000 * (perf_counter() - start) * FRAME_MS * RNNOISE_RATE / 1000 / RNNOISE_FRAME

    return feed


def machine(name: str | None) -> list[str]:
    """Return the machine, its cores, its system, and the versions of Python and ONNX Runtime."""
    system = f"{platform.system()} {platform.machine()}"
    if hasattr(sys, "getandroidapilevel") or "ANDROID_ROOT" in os.environ:
        system = f"Android {platform.machine()}"
    return [
        name or machine_name(),
        str(os.cpu_count()),
        system,
        platform.python_version(),
        onnxruntime.__version__,
    ]


def machine_name() -> str:
    """Return the name of the device, or of its processor, as far as the system tells."""
    board = Path("/proc/device-tree/model")
    processor = Path("/proc/cpuinfo")
    for command in (["getprop", "ro.product.model"], ["sysctl", "-n", "machdep.cpu.brand_string"]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.strip()
    try:
        if board.exists():
            return board.read_text().strip("\0 \n")
        lines = processor.read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine() or "unknown"


def peak_mb() -> str:
    """Return the largest memory of this process in MB; a dash where the system does not tell."""
    status = Path("/proc/self/status")  # getrusage begins with the peak of the program that started this one
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return f"{int(found[1]) * 1024 / 1e6:.0f}"
    try:
        import resource
    except ImportError:  # Windows
        return "-"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6:.0f}"


def _pause() -> np.ndarray:
    """Return ten seconds of a quiet room, [time]."""
    return np.random.default_rng(0).normal(0, 1e-3, 10 * RATE).astype(np.float32)


def _frames(audio: np.ndarray, size: int) -> np.ndarray:
    whole = len(audio) // size * size
    return np.ascontiguousarray(audio[:whole].reshape(-1, size), np.float32)


def _joined(values: list[float]) -> str:
    """Return values with three significant digits, at most four decimals."""
    digits = [max(0, 2 - math.floor(math.log10(max(value, 1e-4)))) for value in values]
    return " / ".join(f"{value:.{min(number, 4)}f}" for value, number in zip(values, digits, strict=True))


def _row(cells: Any) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def _say(text: str) -> None:
    print(f"device: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
