"""Measure what a stream does above a model's band: CPU time with it, and with what is there dropped.

    python benchmarks/band_above.py [MODEL] [--rate 48000] [--chunk 0.01] [--rounds 30]

Each round feeds a second of a noisy recording to every stream in turn, on one thread. The table has the least
and the median of the rounds, in milliseconds of CPU time for a frame of the model. Shares are the figures to
quote; those of medians are higher where other programs share the machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

from exit_codes import exit_code
from sese.core.tables import table
from sese.evaluation.speed import clock
from sese.runtime.enhancer import Enhancer
from sese.runtime.stream import Stream

RECORDING = Path(__file__).parents[1] / "examples" / "playground.wav"
CHOICES = ("follow", "drop")


def main() -> int:
    """Run the command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="name or folder; the default model if not given")
    parser.add_argument("--rate", type=int, default=48000, help="sample rate of the streams")
    parser.add_argument("--chunk", type=float, default=0.01, help="length of a chunk in seconds")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    return exit_code("band_above", lambda: measure(options))


def measure(options: argparse.Namespace) -> None:
    """Print the table."""
    enhancer, rate = Enhancer(options.model), options.rate
    audio, own = soundfile.read(RECORDING, dtype="float32")
    audio = soxr.resample(audio, own, rate)[:rate]
    levels = [level.utilization for level in enhancer.card.levels]
    streams = {
        (level, choice): enhancer.stream(rate, budget=f"fixed:{level:g}", band_above=choice)  # type: ignore[arg-type]
        for level in levels
        for choice in CHOICES
    }
    frames = len(audio) / rate * enhancer.card.sample_rate / enhancer.card.hop_length
    chunk = max(1, round(options.chunk * rate))
    taken: dict[tuple[float, str], list[float]] = {key: [] for key in streams}
    for turn in range(options.rounds + 1):  # the first one warms up
        for key, stream in streams.items():
            seconds = clocked(stream, audio, chunk)
            if turn:
                taken[key].append(1000 * seconds / frames)
    rows = []
    for level in levels:
        cells = [f"{level:g}"]
        for of in (min, np.median):
            whole, dropped = (float(of(taken[level, choice])) for choice in CHOICES)
            cells += [f"{whole:.3f}", f"{dropped:.3f}", f"{100 * (1 - dropped / whole):.0f}%"]
        rows.append(cells)
    names = ["level", "least, ms", "dropped", "share", "median, ms", "dropped", "share"]
    print("\n".join(table(names, rows)))


def clocked(stream: Stream, audio: np.ndarray, chunk: int) -> float:
    """Return the seconds of CPU time that a stream takes for a signal."""
    started = clock()
    for at in range(0, len(audio), chunk):
        stream.feed(audio[at : at + chunk])
    return clock() - started


if __name__ == "__main__":
    sys.exit(main())
