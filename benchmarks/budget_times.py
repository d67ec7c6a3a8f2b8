"""Measure the time of each budget of some models, beside that of a router that holds the same number.

    python benchmarks/budget_times.py demucs-slim-small sese-2

Times are microseconds of CPU time of one thread for 16 ms of sound, in files (64 frames a call) and in
streams (one frame a call). All budgets of a model are timed in turn in each round. The least time of each
call over the rounds counts, since other work on the machine only adds time. Streams go on from round to
round. Where the model decides, a minute of sound that is not timed comes first, so that means are held.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sese
from exit_codes import exit_code
from sese.core.tables import table
from sese.evaluation.speed import clock
from sese.evaluation.suite import default_budgets
from sese.evaluation.timing import noisy_speech
from sese.runtime.card import Card
from sese.runtime.step import Step

NUMBERS = (0.5, 0.3, 0.125)
FRAME_SECONDS = 0.016
UNTIMED = 15  # repetitions of four seconds of speech
NAMES = ("model", "budget", "share of compute", "file, us", "stream, us")


def main() -> int:
    """Run the command and return its exit code: 0 done, 2 bad usage or input, 130 interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="names, folders or .onnx files")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    return exit_code("budget_times", lambda: show(options.models, options.rounds))


def show(models: list[str], rounds: int) -> None:
    """Print a table with a row for each budget of each model."""
    rows = []
    for name in models:
        enhancer = sese.load(name)
        budgets = budgets_of(enhancer.card)
        files = measure(enhancer, budgets, Step.LONGEST, rounds)
        streams = measure(enhancer, budgets, 1, rounds)
        for budget in budgets:
            share, file = files[budget]
            rows.append([name, str(budget), f"{share:.3f}", f"{file:.0f}", f"{streams[budget][1]:.0f}"])
    print("\n".join(table(NAMES, rows)))


def budgets_of(card: Card) -> list[Any]:
    """Return the levels, the router, the numbers, the same numbers held by a router, and the threshold."""
    numbers = [number for number in NUMBERS if number >= card.levels[0].utilization and not card.gates]
    held = [f"held:{number:g}" for number in numbers] if card.router and not card.rests else []
    threshold = [] if card.gates or card.alternatives else ["threshold"]
    return [*default_budgets(card), *numbers, *held, *threshold]


def measure(
    enhancer: sese.Enhancer, budgets: list[Any], frames: int, rounds: int
) -> dict[Any, tuple[float, float]]:
    """Return the share of compute and the time of a frame in microseconds, with `frames` in a call."""
    card = enhancer.card
    length = frames * card.hop_length
    speech = noisy_speech(card.sample_rate)
    calls = [speech[start : start + length] for start in range(0, len(speech) - length + 1, length)]
    streams = {budget: enhancer.stream(budget=budget, trace_seconds=None) for budget in budgets}
    least = {budget: np.full(len(calls), np.inf) for budget in budgets}
    before: dict[Any, int] = {}
    for budget, stream in streams.items():
        stream.feed(np.tile(np.concatenate(calls), UNTIMED if stream.routed else 1))
        before[budget] = len(stream.trace)
    for _ in range(rounds):
        for budget, stream in streams.items():
            least[budget] = np.minimum(least[budget], times_of(stream, calls))
    seconds = len(calls) * length / card.sample_rate
    return {
        budget: (
            float(streams[budget].trace[before[budget] :].mean()),
            1e6 * FRAME_SECONDS * float(least[budget].sum()) / seconds,
        )
        for budget in budgets
    }


def times_of(stream: Any, calls: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the seconds that each call takes."""
    times = np.zeros(len(calls))
    for number, samples in enumerate(calls):
        started = clock()
        stream.feed(samples)
        times[number] = clock() - started
    return times


if __name__ == "__main__":
    sys.exit(main())
