"""Time a frame in Python, the native library and Node.js, on this machine, in one run.

    python tests/deploy/timing.py [MODEL ...] [--rounds 7] [--rate 48000] [--without-node]

Every round enhances eight seconds of a noisy recording in each program, a frame a call on one thread, one
after another. The table holds medians over the rounds of each program's own median and 99th percentile;
below it, the largest resident memory of a program that does nothing else. Compare columns of one run only.
At another rate than the model's there are the library and Python's `Stream`, which resample.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[1]))

from deploy.programs import JAVASCRIPT, node, printed
from native.building import ROOT, build
from sese import Enhancer, load
from sese.runtime.artefact import bundled_models, find_model
from sese.runtime.step import Step

Timed = Callable[[], tuple[float, float]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=bundled_models())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rate", type=int, default=16000)
    parser.add_argument("--without-node", action="store_true")
    arguments = parser.parse_args()
    rate = arguments.rate
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.wav", Path(folder) / "out.wav"
        audio, own = soundfile.read(ROOT / "examples" / "playground.wav", dtype="float32")
        audio = soxr.resample(audio, own, rate)
        soundfile.write(source, audio, rate)
        programs = {"library": [build(Path(folder)) / "native" / "sese_enhance"]}
        if rate == own and not arguments.without_node:
            programs["Node.js"] = [node(), JAVASCRIPT / "enhance.js"]
        names = [*programs, *(["Python, `Step`"] if rate == own else []), "Python, `Stream`"]
        print(f"| model | level | {' | '.join(names)} | 99th percentiles |")
        print("| --- " * (len(names) + 3) + "|")
        for model in arguments.models:
            enhancer = load(model)
            for level in range(len(enhancer.card.levels)):
                words = [find_model(model), source, target, "--level", str(level)]
                ways: list[Timed] = [partial(by_program, [*way, *words]) for way in programs.values()]
                if rate == own:
                    ways.append(partial(by_step, enhancer, level, audio))
                ways.append(partial(by_stream, enhancer, level, audio, rate))
                times = measured(ways, arguments.rounds)
                print(row(model, enhancer.card.levels[level].utilization, times), flush=True)
            sizes = [f"{name} {resident_mb([*way, *words]):.0f} MB" for name, way in programs.items()]
            state = 4 * sum(int(np.prod(spec.shape)) for spec in enhancer.artefact.state.values())
            print(f"{model}: {state / 1024:.1f} KiB of state, resident {', '.join(sizes)}")


def measured(ways: list[Timed], rounds: int) -> list[tuple[float, float]]:
    """Median and 99th percentile of each way, medians over rounds of all of them."""
    taken = [[way() for way in ways] for _ in range(rounds)]
    return [
        (statistics.median(one[0] for one in runs), statistics.median(one[1] for one in runs))
        for runs in zip(*taken, strict=True)
    ]


def row(model: str, utilization: float, times: list[tuple[float, float]]) -> str:
    """Return a line of the table: milliseconds, and in brackets multiples of the library's."""
    first = times[0][0]
    cells = [f"{first:.3f}", *(f"{median:.3f} ({median / first:.2f})" for median, _ in times[1:])]
    late = ", ".join(f"{p99:.2f}" for _, p99 in times)
    return f"| {model} | {utilization:.3g} | {' | '.join(cells)} | {late} |"


def by_program(command: list[str | Path]) -> tuple[float, float]:
    """As the program says."""
    said = printed(command)
    return said.median, said.p99


def by_step(enhancer: Enhancer, level: int, audio: np.ndarray) -> tuple[float, float]:
    """By the model's step alone."""
    step = Step(enhancer.artefact, 1)
    return clocked(lambda frame: step(frame[None], level), audio, enhancer.card.hop_length)


def by_stream(enhancer: Enhancer, level: int, audio: np.ndarray, rate: int) -> tuple[float, float]:
    """By the streaming interface, which checks, aligns and keeps statistics."""
    card = enhancer.card
    stream = enhancer.stream(rate, budget=f"fixed:{card.levels[level].utilization}")
    return clocked(stream.feed, audio, round(card.hop_length * rate / card.sample_rate))


def clocked(run: Callable[[np.ndarray], object], audio: np.ndarray, hop: int) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds of whole frames."""
    taken = []
    for at in range(0, len(audio) - hop + 1, hop):
        frame = audio[at : at + hop]
        started = time.perf_counter()
        run(frame)
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.median(taken)), float(np.quantile(taken, 0.99))


def resident_mb(command: list[str | Path]) -> float:
    """Largest resident memory of a program, in megabytes, as Linux has it while the program runs."""
    words, largest = [str(word) for word in command], 0.0
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            largest = max(largest, int(found[1]) / 1000 if found else 0.0)
            time.sleep(0.002)
    assert process.returncode == 0
    return largest


if __name__ == "__main__":
    main()
