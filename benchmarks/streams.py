"""Measure streams per core and kilobytes per stream, for single streams and batches of them.

    python benchmarks/streams.py [MODEL] [--rate 16000] [--budgets fixed:LEVEL ...] [--rounds 200]

Times are CPU times of one thread. In each round every case runs, in random order, so that a machine whose
speed drifts slows all of them. Each case gets 16 or more chunks of one frame; times are medians over the
rounds. The ratios are the figures to quote. Memory is the growth of a new process by 500 streams when it has
300 already, and the size of the arrays of a stream.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import thread_time

import numpy as np
from numpy.typing import NDArray

from resident_memory import resident_kb
from sese.core.tables import table
from sese.runtime.enhancer import Enhancer

COUNTS = (1, 4, 16, 64)
LEAST = 16
HELD, MORE = 300, 500


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="name or folder; the default model if not given")
    parser.add_argument("--rate", type=int, default=16000, help="sample rate of the streams")
    parser.add_argument("--budgets", nargs="*", help="fixed levels if not given")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--memory-of", choices=["low", "high", "batch"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(*memory(options.model, options.rate, options.memory_of))
        return
    enhancer = Enhancer(options.model)
    budgets = options.budgets or [f"fixed:{level.utilization:g}" for level in enhancer.card.levels]
    print(f"{enhancer.card.name} at {options.rate} Hz; medians of {options.rounds} rounds\n")
    print("\n".join(throughput(enhancer, options.rate, budgets, options.rounds)) + "\n")
    rows = []
    for kind in ("low", "high", "batch"):
        command = [sys.executable, __file__, *([options.model] if options.model else [])]
        command += ["--rate", str(options.rate), "--memory-of", kind]
        grown, held = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        name = "in a batch" if kind == "batch" else f'latency="{kind}"'
        rows.append([name, f"{float(grown):.0f}", f"{float(held):.0f}"])
    print("\n".join(table(["a stream", "growth of the process, kB", "its arrays, kB"], rows)))


def throughput(enhancer: Enhancer, rate: int, budgets: list[str], rounds: int) -> list[str]:
    """Return lines of a Markdown table: streams that one core runs in real time, single and in batches."""
    size = round(enhancer.card.hop_length * rate / enhancer.card.sample_rate)
    chunks = np.random.default_rng(0).normal(0, 0.05, (max(COUNTS), size)).astype(np.float32)
    runs: dict[tuple[str, int], Callable[[], object]] = {}
    for budget in budgets:
        runs[budget, 0] = singly(enhancer, rate, budget, chunks)
        for count in COUNTS:
            runs[budget, count] = together(enhancer, rate, budget, chunks[:count])
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for turn in range(rounds + 3):
        for key in random.sample(list(runs), len(runs)):
            started = thread_time()
            for _ in range(repeats(key[1])):
                runs[key]()
            if turn >= 3:
                taken[key].append((thread_time() - started) / repeats(key[1]))
    rows = []
    for budget in budgets:
        # The chunk lasts size / rate seconds: so many streams of it fit into real time.
        alone = LEAST * size / rate / statistics.median(taken[budget, 0])
        cells = [f"`{budget}`", f"{alone:.0f}"]
        for count in COUNTS:
            streams = count * size / rate / statistics.median(taken[budget, count])
            cells.append(f"{streams:.0f} ({streams / alone:.2f} x)")
        rows.append(cells)
    return table(["budget", "single streams a core", *(f"{count} in a batch" for count in COUNTS)], rows)


def repeats(count: int) -> int:
    """Return how often a case is run in a round; `count` is the size of a batch, or 0 for single streams."""
    return max(1, LEAST // count) if count else 1


def singly(enhancer: Enhancer, rate: int, budget: str, chunks: NDArray[np.float32]) -> Callable[[], object]:
    """Feed single streams, one after the other."""
    streams = [enhancer.stream(rate, budget=budget) for _ in range(LEAST)]
    return lambda: [stream.feed(chunk) for stream, chunk in zip(streams, chunks, strict=False)]


def together(enhancer: Enhancer, rate: int, budget: str, chunks: NDArray[np.float32]) -> Callable[[], object]:
    """Feed a batch with one chunk for each stream."""
    batch = enhancer.batch()
    pairs = {batch.add(rate, budget=budget): chunk for chunk in chunks}
    return lambda: batch.feed(pairs)


def memory(model: str | None, rate: int, kind: str) -> tuple[float, float]:
    """Return kilobytes per stream: growth of this process, and size of the arrays."""
    enhancer = Enhancer(model)
    batch = enhancer.batch()
    chunk = np.random.default_rng(0).normal(0, 0.05, rate // 50).astype(np.float32)

    def started() -> object:
        stream = batch.add(rate) if kind == "batch" else enhancer.stream(rate, latency=kind)
        for _ in range(6):
            batch.feed({stream: chunk}) if kind == "batch" else stream.feed(chunk)
        return stream

    streams = [started() for _ in range(HELD)]
    before = resident_kb()
    streams += [started() for _ in range(MORE)]
    grown = (resident_kb() - before) / MORE
    held = array_bytes(streams[0], {id(enhancer.artefact), id(batch)}) / 1024
    if kind == "batch":
        held += sum(state[:1].nbytes for state in batch._states.values()) / 1024
    return grown, held


def array_bytes(thing: object, seen: set[int]) -> int:
    """Return the bytes of the NumPy arrays of an object, without objects in `seen`."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return array_bytes(thing.base, seen) if isinstance(thing.base, np.ndarray) else thing.nbytes
    if isinstance(thing, list | tuple):
        return sum(array_bytes(item, seen) for item in thing)
    if isinstance(thing, dict):
        return sum(array_bytes(item, seen) for item in thing.values())
    return sum(array_bytes(item, seen) for item in getattr(thing, "__dict__", {}).values())


if __name__ == "__main__":
    main()
