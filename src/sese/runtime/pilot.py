"""Run whole frames through a model, each at the level that the budget and the limits give it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from sese.runtime.artefact import ROUTER, Artefact
from sese.runtime.budget import Budget, Fixed, Routed, highest_level, parse_budget
from sese.runtime.deadline import Deadline
from sese.runtime.options import EnhanceOptions
from sese.runtime.step import Step
from sese.runtime.threshold import snr_rule
from sese.runtime.trace import Trace

TIMED = 32
"""Largest number of frames of a call under a limit of time, which changes the level between calls."""


class Pilot:
    """Steer a model: choose a level for each frame, run the frames, and record the compute that they used.

    Args:
        artefact: The model.
        channels: Number of channels; one level per frame serves all of them.
        options: Budget and limits. With `max_rtf`, calls are timed.
        trace_frames: Number of frames of the trace to keep; None for all.
        clock: Function that returns seconds, to time the frames.

    Attributes:
        deadline: Record of late frames; None without `max_rtf`.

    Raises:
        InputError: An argument cannot be used with this model.
    """

    def __init__(
        self,
        artefact: Artefact,
        channels: int,
        options: EnhanceOptions,
        trace_frames: int | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._card = artefact.card
        self._levels = np.array([level.utilization for level in self._card.levels])
        self._highest = highest_level(self._card, options.max_mmacs)
        self._max_rtf, self._clock = options.max_rtf, clock
        self._trace_frames = trace_frames
        self._channels = channels
        self._step = Step(artefact, channels)
        self.budget = options.budget
        self.reset()

    @property
    def budget(self) -> Budget:
        """Budget; it may be changed between calls."""
        return self._budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._rule = parse_budget(self._card, budget)
        self._budget = budget
        self._snr = snr_rule(self._card, self._rule, self._channels)

    @property
    def ceiling(self) -> int:
        """Highest level that may run now, counted from 0, the lowest."""
        if self.deadline is None or self._card.alternatives:  # none of these is quicker
            return self._highest
        return self.deadline.ceiling

    @property
    def routed(self) -> bool:
        """Whether the router picks the levels."""
        return isinstance(self._rule, Routed)

    @property
    def utilization(self) -> float:
        """Mean share of compute of the frames since `reset`, in (0, 1]; NaN before any."""
        return self._trace.mean

    @property
    def trace(self) -> NDArray[np.float32]:
        """Share of compute of each frame in the trace ``[frame]``, a copy."""
        return self._trace.read()

    @property
    def speech_probability(self) -> NDArray[np.float32]:
        """Probability of speech in each frame in the trace ``[frame]``, a copy; empty if it is not given."""
        return self._spoken.read()

    def reset(self) -> None:
        """Forget the signal and the statistics."""
        self.restart()
        self._trace, self._spoken = Trace(self._trace_frames), Trace(self._trace_frames)
        self.deadline: Deadline | None = None
        if self._max_rtf is not None:
            seconds = self._card.hop_length / self._card.sample_rate
            highest = 0 if self._card.alternatives else self._highest
            self.deadline = Deadline(highest, seconds, self._max_rtf, self._clock)

    def restart(self) -> None:
        """Forget the signal."""
        self._step.reset()
        if self._snr is not None:
            self._snr.reset()

    def __call__(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Enhance the next frames, ``[channel, frames * hop]``, any number; return as many, delayed."""
        length = self._card.hop_length * (Step.LONGEST if self.deadline is None else TIMED)
        parts = []
        for start in range(0, audio.shape[1], length):
            part, used = self._run(audio[:, start : start + length])
            parts.append(part)
            self._trace.add(used)
            if self._step.speech_probability is not None:
                self._spoken.add(self._step.speech_probability)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts, axis=1) if parts else audio

    def _run(self, audio: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.deadline is not None:
            self.deadline.begin()
        ceiling = self.ceiling
        if isinstance(self._rule, Fixed):
            done = self._step(audio, min(self._rule.level, ceiling))
        elif isinstance(self._rule, Routed):
            done = self._step(audio, ROUTER, self._rule.utilization, ceiling)
        else:
            assert self._snr is not None
            done = self._step(audio, np.minimum(self._snr(audio), ceiling))
        if self.deadline is not None:
            nearest = np.abs(self._levels - done[1][:, None]).argmin(1)
            # A rest says nothing about a level.
            self.deadline.end(np.where(done[1] > 0, nearest, -1).tolist())
        return done
