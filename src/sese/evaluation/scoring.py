"""The scores of one pair of files: of the noisy input itself, and of a model at each budget.

A model is reached by a path "module:attribute", so that every process can make its own.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sese.core.errors import InputError
from sese.evaluation.conversations import conversation_scores
from sese.evaluation.metrics import score
from sese.evaluation.pairs import SAMPLE_RATE, Pair, read_pair
from sese.evaluation.results import FileRow

ENHANCER = "sese.runtime.enhancer:Enhancer"
NOISY = "noisy"  # the name of the row that is the input itself

Budget = float | str


@dataclass(frozen=True)
class Run:
    """Output of an enhancer for one signal, and the compute it took; None where the enhancer does not say.

    Attributes:
        audio: enhanced, [time] at 16 kHz.
        seconds: processing time.
        utilization: mean share of the compute, in (0, 1].
        macs_per_second: mean multiply-accumulates a second of audio.
        trace: utilization of each frame, [frame].
    """

    audio: np.ndarray
    seconds: float
    utilization: float | None = None
    macs_per_second: float | None = None
    trace: np.ndarray | None = None


def run(enhancer: Any, noisy: np.ndarray) -> Run:
    """Enhance `noisy` [time] at 16 kHz, as a stream where the enhancer has streams.

    MACs are looked up frame by frame, so that they are those of the levels that ran, whatever the line
    through the levels.
    """
    noisy = noisy.copy()  # so that no enhancer can change what the next one hears
    if not hasattr(enhancer, "stream"):
        start = time.perf_counter()
        return Run(enhancer.enhance(noisy, SAMPLE_RATE), time.perf_counter() - start)
    stream = enhancer.stream(SAMPLE_RATE, trace_seconds=None)
    start = time.perf_counter()
    audio = np.concatenate([stream.feed(noisy), stream.flush()])
    seconds = time.perf_counter() - start
    trace = np.asarray(stream.trace, np.float32)
    macs = macs_of(enhancer.card, trace, getattr(stream, "routed", False))
    return Run(audio, seconds, float(stream.utilization), macs, trace)


def macs_of(card: Any, trace: np.ndarray, routed: bool) -> float:
    """Return the mean MACs a second of frames whose share of compute is `trace` [frame].

    With `routed` the router's are among them.
    """
    utilizations = [level.utilization for level in card.levels]
    macs = [level.macs_per_second for level in card.levels]
    if getattr(card, "gates", False):
        utilizations, macs = [0.0, *utilizations], [card.static_macs_per_second, *macs]
    if getattr(card, "rests", False):  # a frame at rest runs no product but the dial's
        utilizations, macs = [0.0, *utilizations], [0.0, *macs]
    router = card.router_macs_per_second if routed else 0.0
    if getattr(card, "alternatives", False):
        return macs[0] + router
    return float(np.interp(trace, utilizations, macs).mean()) + router


class Scorer:
    """State of a process between files: one enhancer per budget."""

    def __init__(self, enhancer: str, model: Any, budgets: Sequence[Budget], metrics: list[str]) -> None:
        make = resolve(enhancer)
        self.enhancers = {budget: make(model, budget=budget) for budget in budgets}
        self.metrics = metrics
        for each in self.enhancers.values():  # the first call pays for set-up that is not the model's time
            run(each, np.zeros(SAMPLE_RATE // 2, np.float32))

    def rows(self, pair: Pair) -> Iterator[FileRow]:
        """Yield the rows of one file: that of the noisy input, then one per budget."""
        clean, noisy = read_pair(pair)
        about = {"file": pair.name, "snr_db": pair.snr_db, "audio_s": len(noisy) / SAMPLE_RATE}
        nothing = dict.fromkeys(("utilization", "macs_per_second", "enhance_s"))
        yield {**about, "level": NOISY, **nothing, **self._scores(pair, clean, noisy)}
        for budget, enhancer in self.enhancers.items():
            made = run(enhancer, noisy)
            spent = {
                "utilization": made.utilization,
                "macs_per_second": made.macs_per_second,
                "enhance_s": made.seconds,
            }
            yield {**about, "level": label(budget), **spent, **self._scores(pair, clean, made.audio)}

    def _scores(self, pair: Pair, clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
        """Return every column of the metrics, and of a conversation those of its parts."""
        values = score(clean, estimate, SAMPLE_RATE, self.metrics)
        if pair.activity is not None:
            values |= conversation_scores(clean, estimate, SAMPLE_RATE, pair.activity)
        return values


_scorer: Scorer | None = None  # one per process


def start(*arguments: Any) -> None:
    """Make this process's scorer; arguments as of `Scorer`."""
    global _scorer
    _scorer = Scorer(*arguments)


def score_file(pair: Pair) -> list[FileRow] | InputError:
    """Return the rows of one file, in a process where `start` was called.

    Of a recording without a clean side that cannot be read, the error: the others of its folder have scores.

    Raises:
        InputError: the files of a pair cannot be read or scored.
    """
    assert _scorer is not None
    try:
        return list(_scorer.rows(pair))
    except InputError as error:
        # Metrics know shapes but not files.
        told = error if str(pair.noisy) in str(error) else InputError(f"{pair.noisy}: {error}")
        if pair.clean is None:
            return told
        raise told from None


def resolve(path: str) -> Callable[..., Any]:
    """Return the object that "module:attribute" names.

    Raises:
        InputError: there is no such thing.
    """
    module, separator, attribute = path.partition(":")
    if not separator:
        raise InputError(f"enhancer: {path!r} is no path of the form module:attribute")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"enhancer: {path!r} cannot be imported ({error})") from error


def label(budget: Budget | None) -> str:
    """Return the name of a row: its budget, or the input itself for None."""
    if budget is None:
        return NOISY
    return f"budget {budget}" if isinstance(budget, str) else f"budget {budget:g}"
