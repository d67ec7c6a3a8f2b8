"""Times for benchmarks/standing.py: all systems in turn, with a reference before and after each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import process_time

import numpy as np

from sese.evaluation import timing
from sese.evaluation.scoring import ENHANCER, resolve
from sese.runtime.card import Card
from standing_report import FRAMES, MODES, RNNOISE

Factors = dict[str, dict[str, float]]
"""Real-time factors by system or budget: `stream`, `file`, and shares of the reference's."""


def budgets_of(card: Card) -> list[str]:
    """Return the levels of a model, lowest first, and its router if it has one."""
    return [f"fixed:{level.utilization:g}" for level in card.levels] + ["auto"] * card.router


class Timer:
    """Time the streams of a model at every budget, with 10 s of noisy speech."""

    def __init__(self, path: str, card: Card) -> None:
        self.card, self.budgets = card, budgets_of(card)
        self.enhancer = resolve(ENHANCER)(path)
        self.streams = [self.enhancer.stream(budget=budget) for budget in self.budgets]
        self.speech = timing.noisy_speech(card.sample_rate)

    def __call__(self) -> Factors:
        """Return real-time factors by budget: `stream`, the median of single frames; `file`, of CPU time."""
        card = self.card
        frames = [
            timing.time_frames([stream], self.speech, card.hop_length, FRAMES) for stream in self.streams
        ]
        stream = np.median(frames, axis=(1, 2)) * card.sample_rate / card.hop_length
        audio = np.resize(self.speech, timing.FILE_SECONDS * card.sample_rate)
        seconds = np.zeros((timing.FILE_ROUNDS, len(self.budgets)))
        for place in np.ndindex(seconds.shape):
            start = process_time()
            self.enhancer.enhance(audio, card.sample_rate, budget=self.budgets[place[1]])
            seconds[place] = process_time() - start
        file = np.median(seconds, axis=0) / timing.FILE_SECONDS
        return {
            budget: {"stream": float(stream[at]), "file": float(file[at])}
            for at, budget in enumerate(self.budgets)
        }


def round_of(
    timers: Mapping[str, Callable[[], Factors]],
    reference: Callable[[], dict[str, float]] | None,
    name_of_reference: str = RNNOISE,
) -> Factors:
    """Return real-time factors by system, and relative to those of the reference.

    The reference runs before and after each other system. Ratios are to the mean of these two runs.

    Args:
        timers: Functions that time a model at its budgets, by name. The key is "" for a system without
            budgets.
        reference: Function that times the reference, if any.
    """
    taken: Factors = {}
    around = [reference()] if reference else []
    for name, timer in timers.items():
        found = timer()
        if reference:
            around.append(reference())
            before, after = around[-2:]
            for factors in found.values():
                factors |= {
                    f"{mode}_share": 2 * factors[mode] / (before[mode] + after[mode]) for mode in MODES
                }
        taken |= {f"{name} {budget}".rstrip(): factors for budget, factors in found.items()}
    if reference:
        taken[name_of_reference] = {key: median(each[key] for each in around) for key in around[0]}
    return taken
