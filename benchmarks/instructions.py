"""Count the instructions of a frame of 16 ms, and the bytes of weights and states that it uses.

    cmake -S native -B build -DONNXRUNTIME_ROOT=... && cmake --build build    # docs/guides/native.md
    python benchmarks/instructions.py build [MODEL] [--frames 10] [--peer NAME=PATH.onnx ...] [--rnnoise]

Unlike times, instructions hardly depend on the machine or on its other work. `valgrind --tool=callgrind`
counts those of the native library with ONNX Runtime, on one thread. It counts from a later frame on, so that
the opening of the file drops out. A run of each network takes about a minute. valgrind does not know AVX-512,
so that ONNX Runtime uses other kernels than on a processor that has it; the line below the table says what
the processor offered.

The model runs at each level and with budget auto on noisy speech, and at rest on a quiet room. Its
transforms are inside its file. A peer (see peers.py) is its file alone: transforms of a spectrum are not
counted. RNNoise (see rnnoise.py) has frames of 10 ms at 48 kHz, which are converted to 16 ms.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime

from exit_codes import exit_code
from sese import load
from sese.core import tables
from sese.core.errors import InputError
from sese.evaluation.timing import noisy_speech
from sese.runtime.artefact import Artefact
from touched import AUTOMATIC, Touched, touched

SOURCE = Path(__file__).with_suffix(".cpp")
RATE, RNNOISE_RATE, FRAME_MS = 16_000, 48_000, 16.0
COLUMNS = ["network", "runs", "instructions, million", "relative", "weights, kB", "states, kB"]
MOST_FRAMES = 1000
BEFORE, BEFORE_REST = 5, 80  # frames that are not counted; the model rests by the second


@dataclass(frozen=True)
class Case:
    """Frames that are counted.

    Attributes:
        name: Name of the case.
        network: Name of the network.
        milliseconds: Length of a frame.
        instructions: Mean number of instructions of a frame.
        utilization: Mean share of compute.
        used: Bytes that a frame uses; None where nobody knows.
    """

    name: str
    network: str
    milliseconds: float
    instructions: float
    utilization: float
    used: Touched | None = None

    @property
    def of_16_ms(self) -> float:
        """Return the number of instructions in 16 ms."""
        return self.instructions * FRAME_MS / self.milliseconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path, help="folder in which CMake built native/")
    parser.add_argument("model", nargs="?", help="name or folder; the default model if not given")
    parser.add_argument("--frames", type=int, default=10, help="frames that are counted [default: 10]")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PATH.onnx", help="other network")
    parser.add_argument("--rnnoise", action="store_true", help="count RNNoise too")
    options = parser.parse_args()
    if not 1 <= options.frames <= MOST_FRAMES:
        raise InputError(f"--frames is {options.frames}; use 1 to {MOST_FRAMES}")
    peers = [_peer(text) for text in options.peer]
    artefact = load(options.model).artefact
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(Path(folder), options.build, options.frames)
        cases = of_model(counter, artefact)
        for name, path in peers:
            (case,) = counter.count("onnx", path, [(name, "", "speech")])
            cases.append(replace(case, network=name, used=touched(path)))
        if options.rnnoise:
            cases += of_rnnoise(counter)
    print("\n".join(table(cases)))
    versions = f"ONNX Runtime {onnxruntime.__version__}, {options.frames} frames"
    print(f"\nThe processor offered {counter.features}; {versions}.")


class Counter:
    """Count frames of networks with one program, which is built here.

    Args:
        folder: Folder for the program and its files.
        build: Folder in which CMake built native/.
        frames: Number of frames that are counted.

    Raises:
        InputError: The build, a compiler or valgrind is missing.
    """

    def __init__(self, folder: Path, build: Path, frames: int) -> None:
        self.folder, self.frames, self.features = folder, frames, ""
        self.program = folder / "instructions"
        command = compile_command(build, self.program)
        _run(command, "a C++ compiler and valgrind with its headers are needed, and the library of native/")
        speech = np.random.default_rng(0).normal(0, 1e-3, 10 * RATE)
        audio = {"speech": noisy_speech(RATE), "wide": noisy_speech(RNNOISE_RATE), "quiet": speech}
        for name, samples in audio.items():
            samples.astype(np.float32).tofile(folder / name)

    def count(self, kind: str, path: str | Path, words: list[tuple[str, str, str]]) -> list[Case]:
        """Return the cases of a network; each has a name, a budget, and the name of the audio."""
        command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={self.folder / 'counted'}", str(self.program)]
        command += [str(self.frames), kind, str(path)]
        for name, budget, audio in words:
            before = BEFORE_REST if audio == "quiet" else BEFORE
            command += [name, str(before), budget, str(self.folder / audio)]
        for old in self.folder.glob("counted*"):
            old.unlink()
        print(f"instructions: {kind} {Path(path).name}", file=sys.stderr)
        printed = _run(command, "give files that the native library and ONNX Runtime can open")
        self.features = read_features(printed)
        dumps = [dump.read_text() for dump in self.folder.glob("counted.*")]
        rate = RNNOISE_RATE if kind == "rnnoise" else RATE
        return read_cases(printed, dumps, Path(path).stem, rate, self.frames)


def compile_command(build: Path, program: Path) -> list[str]:
    """Return the command that compiles the program against a build of native/.

    Raises:
        InputError: The folder is no such build.
    """
    cache = build / "CMakeCache.txt"
    if not cache.is_file():
        raise InputError(f"{build} has no CMakeCache.txt; build native/ there, see docs/guides/native.md")
    found = dict(re.findall(r"^(ONNXRUNTIME_\w+):\w+=(.+)$", cache.read_text(), re.MULTILINE))
    libraries = sorted(build.rglob("libsese.so"))
    if not libraries or not {"ONNXRUNTIME_INCLUDE", "ONNXRUNTIME_LIBRARY"} <= found.keys():
        raise InputError(f"{build} has no libsese.so; build native/ there, see docs/guides/native.md")
    sese, runtime = libraries[0], Path(found["ONNXRUNTIME_LIBRARY"])
    native = SOURCE.parents[1] / "native" / "include"
    command = ["g++", "-O2", "-std=c++17", f"-I{native}", "-isystem", found["ONNXRUNTIME_INCLUDE"]]
    command += [str(SOURCE), "-o", str(program), str(sese), str(runtime), "-ldl"]
    return [*command, f"-Wl,-rpath,{sese.parent.resolve()}:{runtime.parent.resolve()}"]


def read_features(printed: str) -> str:
    """Return what the processor offered to the program, from its output."""
    (line,) = re.findall(r"^features (.+)$", printed, re.MULTILINE)
    return str(line)


def read_cases(printed: str, dumps: list[str], network: str, rate: int, frames: int) -> list[Case]:
    """Return the cases of a run.

    Args:
        printed: Output of the program: a line for each case.
        dumps: Texts of the files that callgrind wrote; those of other moments are passed over.
        network: Name of the network.
        rate: Sample rate of its frames in Hz.
        frames: Number of frames that were counted.

    Raises:
        InputError: callgrind counted nothing for a case.
    """
    totals = {}
    for dump in dumps:
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", dump, re.MULTILINE)
        total = re.search(r"^totals: (\d+)$", dump, re.MULTILINE)
        if name and total:
            totals[name[1]] = int(total[1])
    cases = []
    for samples, utilization, name in re.findall(r"^case (\d+) ([\d.]+) (.+)$", printed, re.MULTILINE):
        if not totals.get(name):
            raise InputError(f"callgrind counted nothing for {network}, {name}; try a newer valgrind")
        length = 1000 * int(samples) / rate
        cases.append(Case(name, network, length, totals[name] / frames, float(utilization)))
    return cases


def of_model(counter: Counter, artefact: Artefact) -> list[Case]:
    """Return the cases of a model: its levels, then its pauses and the budget auto where it has them."""
    card = artefact.card
    if card.sample_rate != RATE or card.alternatives or card.gates:
        raise InputError(f"{card.name}: only models at {RATE} Hz with levels can be counted")
    words = [(f"{u.utilization:.2g}", f"fixed:{u.utilization:g}", "speech") for u in card.levels]
    used: dict[str, Touched] = {
        name: touched(artefact.path, card.hop_length, level) for level, (name, *_) in enumerate(words)
    }
    if card.rests:
        words.append(("rest", "auto", "quiet"))
        used["rest"] = touched(artefact.path, card.hop_length, AUTOMATIC)
    if card.router:
        words.append(("auto", "auto", "speech"))
    cases = counter.count("sese", artefact.path, words)
    for case in cases:
        if case.name == "rest" and case.utilization > 0:
            raise InputError(f"{card.name} did not rest in a quiet room; its share was {case.utilization:g}")
    return [replace(case, network=card.name, used=used.get(case.name)) for case in cases]


def of_rnnoise(counter: Counter) -> list[Case]:
    """Return the case of RNNoise. Its library has most weights twice, so their bytes stay open."""
    import rnnoise

    (case,) = counter.count("rnnoise", rnnoise.library_path(), [("RNNoise", "", "wide")])
    return [replace(case, network="RNNoise", used=Touched(None, rnnoise.state_bytes()))]


def table(cases: list[Case]) -> list[str]:
    """Return the lines of the table."""
    rows = []
    for case in cases:
        runs = case.name if case.name != case.network else ""
        if runs == "auto":
            runs = f"auto, share {case.utilization:.2f}"
        cells = [case.network, runs]
        cells += [f"{case.of_16_ms / 1e6:.2f}", f"{case.of_16_ms / cases[0].of_16_ms:.2f}"]
        used = case.used
        sizes = [] if used is None else [used.weights, used.states]
        cells += ["" if size is None else f"{size / 1000:.1f}" for size in sizes or (None, None)]
        rows.append(cells)
    return tables.table(COLUMNS, rows)


def _peer(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"--peer: got {text!r}; give NAME=PATH.onnx")
    if not Path(path).is_file():
        raise InputError(f"--peer {name}: there is no file {path}")
    return name, path


def _run(command: list[str], needed: str) -> str:
    """Return what a program prints.

    Raises:
        InputError: It cannot be run, or fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"{command[0]} cannot be run ({error.strerror}); {needed}") from error
    if done.returncode:
        said = (done.stderr.strip() or "it said nothing").splitlines()[0][:300]
        raise InputError(f"{command[0]} failed ({said}); {needed}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(exit_code("instructions", main))
