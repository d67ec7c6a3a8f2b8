"""Measure what binary activation maps save: memory and time of one clip, against the float network in ONNX
Runtime.

    python benchmarks/quality_inference.py --rounds 25

Weights are random, since neither memory nor time depends on them. Memory is the growth of the peak of the
resident set in a new process with its libraries loaded, from before the model is opened until after three
clips. Time is the median of CPU times of one thread. The C kernel needs gcc.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from exit_codes import exit_code
from resident_memory import resident_kb
from sese.core import tables
from sese.evaluation.dnsmos_network import open_session
from sese.predictor import packed
from sese.predictor.design import Design

SIZES = {
    "published, 5 s, 120 bands": Design(),
    "bundled, 4 s, 40 bands": Design(seconds=4.0, hop=480, bands=40, pool="mean"),
}
KERNEL = Path(__file__).with_name("quality_kernel.c")
ROUNDS = 25


def main(rounds: int = ROUNDS) -> None:
    """Measure each implementation in a process of its own and print a table.

    Args:
        rounds: Number of clips that are timed.
    """
    header = ["sizes", "inference", "file, kB", "growth of the resident set, MB", "ms a clip"]
    print("\n".join(tables.table(header, [])))
    for name, design in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            files = write(design, Path(folder))
            for way, (file, _) in WAYS.items():
                if way == "packed bits, C" and not shutil.which("gcc"):
                    continue
                command = [
                    sys.executable,
                    __file__,
                    "--rounds",
                    str(rounds),
                    "--measure",
                    way,
                    str(files[file]),
                    str(design.bands),
                    str(design.frames),
                ]
                got = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                size = files[file].stat().st_size / 1e3
                cells = [name, way, f"{size:.0f}", f"{got['grown_mb']:.2f}", f"{got['ms']:.2f}"]
                print(tables.row(cells), flush=True)


def write(design: Design, folder: Path) -> dict[str, Path]:
    """Write the files of the float network and of the packed network."""
    import dataclasses
    import logging

    import torch

    from sese.quality.exporting import packed_of, to_onnx
    from sese.quality.network import QualityNetwork

    torch.manual_seed(0)
    files = {name: folder / name for name in ("float.onnx", "binary.onnx", "binary.npz", "kernel.so")}
    logging.disable(logging.WARNING)
    example = torch.zeros(1, design.bands, design.frames)
    program = torch.onnx.export(QualityNetwork(design).eval(), (example,), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(files["float.onnx"]), external_data=False)
    small = packed_of(QualityNetwork(dataclasses.replace(design, activation="binary")))
    files["binary.onnx"].write_bytes(to_onnx(small).SerializeToString())
    packed.save(small, files["binary.npz"])
    return files


def with_onnx_runtime(file: Path) -> Callable[[np.ndarray], float]:
    """Return a function that runs the float network in one thread."""
    session = open_session(file)
    (name,) = (each.name for each in session.get_inputs())
    return lambda mel: float(session.run(None, {name: mel[None]})[0][0])


def with_numpy(file: Path) -> Callable[[np.ndarray], float]:
    """Return a function that runs the packed network as the package does."""
    small = packed.load(file)
    return lambda mel: packed.predict(small, mel)


def with_kernel(file: Path) -> Callable[[np.ndarray], float]:
    """Return the same function with all convolutions but the first compiled for this machine."""
    library = compiled(file.with_name("kernel.so"))
    packed._convolve = lambda *arguments: convolved(library, *arguments)
    return with_numpy(file)


def compiled(target: Path) -> ctypes.CDLL:
    """Compile the kernel to a library at `target` and return it."""
    subprocess.run(["gcc", "-O3", "-march=native", "-shared", "-fPIC", KERNEL, "-o", target], check=True)
    return ctypes.CDLL(str(target))


def convolved(
    library: ctypes.CDLL, cells: np.ndarray, channels: int, planes: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Compute the same as `sese.predictor.packed._convolve`, for channels that fill whole bytes."""
    bands, frames, size = cells.shape
    made = np.empty((bands // 2, frames // 2, len(thresholds) // 8), np.uint8)
    cells = np.ascontiguousarray(cells)
    library.convolve(
        cells.ctypes.data_as(ctypes.c_void_p),
        *(ctypes.c_int(value) for value in (bands, frames, size)),
        planes.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int(planes.shape[1]),
        thresholds.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int(len(thresholds)),
        made.ctypes.data_as(ctypes.c_void_p),
    )
    return made


WAYS: dict[str, tuple[str, Callable[[Path], Callable[[np.ndarray], float]]]] = {
    "float, ReLU, ONNX Runtime": ("float.onnx", with_onnx_runtime),
    "binary, 8-bit weights, ONNX Runtime": ("binary.onnx", with_onnx_runtime),
    "packed bits, NumPy": ("binary.npz", with_numpy),
    "packed bits, C": ("binary.npz", with_kernel),
}


def measure(way: str, file: Path, bands: int, frames: int, rounds: int = ROUNDS) -> dict[str, float]:
    """Measure an implementation in this process: `grown_mb` and `ms`."""
    import onnxruntime  # noqa: F401  loaded before memory is counted

    mel = np.random.default_rng(0).normal(-4, 4, (bands, frames)).astype(np.float32)
    if way == "packed bits, C":
        compiled(file.with_name("kernel.so"))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = resident_kb()
    predict = WAYS[way][1](file)
    for _ in range(3):
        predict(mel)
    grown = resident_kb("VmHWM") - before
    times = []
    for _ in range(rounds):
        start = time.process_time()
        predict(mel)
        times.append(time.process_time() - start)
    return {"grown_mb": grown / 1e3, "ms": 1e3 * statistics.median(times)}


def command() -> None:
    """Read the command line, and measure all implementations, or one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"Number of clips that are timed. [default: {ROUNDS}]"
    )
    # One implementation in this process, as `main` starts it.
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; use 1 or more")
    if options.measure is None:
        main(options.rounds)
        return
    way, file, bands, frames = options.measure
    print(json.dumps(measure(way, Path(file), int(bands), int(frames), options.rounds)))


if __name__ == "__main__":
    sys.exit(exit_code("quality_inference", command))
