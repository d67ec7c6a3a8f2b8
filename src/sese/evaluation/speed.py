"""Time a model in a moment, for lists and reports that cannot wait for `sese profile`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sese.evaluation.timing import noisy_speech
from sese.runtime.artefact import Artefact
from sese.runtime.budget import Budget, Fixed, level_name, parse_budget
from sese.runtime.card import Card
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

SECONDS = 2.0  # of audio in a turn
ROUNDS, MOST_ROUNDS = 5, 25

clock = time.perf_counter if os.name == "nt" else time.thread_time
"""Clock of this thread, which other work on the machine does not hold up; Windows has only a coarse one."""


def file_times(artefact: Artefact, budgets: Sequence[Budget]) -> dict[Budget, float]:
    """Return the time of a second of audio in seconds at each budget, many frames a call, as in files.

    The sound is a stretch of speech, as in the clips whose scores stand beside such times: a model that rests
    takes less in pauses. Budgets are timed in turn, and the least of several rounds counts: other work on the
    machine only adds time. Where a higher level seems faster than a lower one, more rounds follow.

    Args:
        artefact: The model.
        budgets: Budgets of this model.

    Returns:
        The times; empty where the order of the levels stays wrong, since such times are not reliable.
    """
    card = artefact.card
    audio = _loudest(noisy_speech(card.sample_rate), round(SECONDS * card.sample_rate))
    rules = {budget: parse_budget(card, budget) for budget in budgets}
    streams = {rule: Stream(artefact, EnhanceOptions(budget)) for budget, rule in rules.items()}
    times = dict.fromkeys(streams, math.inf)
    levels = sorted((rule for rule in streams if isinstance(rule, Fixed)), key=lambda rule: rule.level)
    for number in range(1, MOST_ROUNDS + 1):
        for rule, stream in streams.items():
            stream.reset()
            started = clock()
            stream.feed(audio)
            times[rule] = min(times[rule], (clock() - started) / SECONDS)
        rising = [times[rule] for rule in levels]
        if number >= ROUNDS and (card.alternatives or rising == sorted(rising)):
            return {budget: times[rule] for budget, rule in rules.items()}
    return {}


def _loudest(audio: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return the stretch of this length with the most power."""
    power = np.concatenate([[0.0], np.cumsum(audio.astype(np.float64) ** 2)])
    start = int((power[length:] - power[:-length]).argmax())
    return audio[start : start + length]


def lowest_and_highest(card: Card) -> list[Budget]:
    """Return the budgets of the lowest and the highest level; of one of them where all cost the same."""
    last = 0 if card.alternatives else len(card.levels) - 1
    return [f"fixed:{level_name(card, index)}" for index in dict.fromkeys((0, last))]
