"""Run many streams on one model, a frame of all of them in one call: for servers.

A model takes one level per frame for its whole batch. So the streams that have a frame ready are grouped by
the level of that frame, and each group is one call; every stream gets the output that it would get alone. A
router inside the model decides on a batch as a whole, so a stream whose level the router picks runs in a call
of its own, which saves nothing. Fixed levels gain, and so does the ``"threshold"`` rule, which picks a level
for each stream outside the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.artefact import ROUTER, Artefact, unusable
from sese.runtime.band_above import AboveChoice
from sese.runtime.budget import Budget, Fixed, Routed, highest_level, parse_budget
from sese.runtime.framing import Framing, require_sane
from sese.runtime.options import EnhanceOptions
from sese.runtime.rates import Latency
from sese.runtime.threshold import snr_rule


class Member:
    """A stream of a `Batch`; `Batch.add` creates it."""

    def __init__(self, batch: Batch, framing: Framing, budget: Budget) -> None:
        self._batch, self._framing = batch, framing
        self.budget = budget
        self._rows = np.zeros(0, np.int64)  # of the batch's states, one for each channel
        self.reset_statistics()

    @property
    def sample_rate(self) -> int:
        """Sample rate of the signal, in Hz."""
        return self._framing.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._framing.channels

    @property
    def latency_samples(self) -> int:
        """Longest wait of a sample, see `sese.runtime.stream.Stream.latency_samples`."""
        return self._framing.latency_samples

    @property
    def budget(self) -> Budget:
        """Budget; it may be changed between chunks."""
        return self._budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        card = self._batch.artefact.card
        self._rule = parse_budget(card, budget)
        self._budget = budget
        self._snr = snr_rule(card, self._rule, self.channels)

    @property
    def utilization(self) -> float:
        """Mean share of compute used since `reset_statistics`, in (0, 1]; NaN at the start."""
        return self._used / self._frames if self._frames else float("nan")

    def reset_statistics(self) -> None:
        """Forget the share of compute used so far."""
        self._frames, self._used = 0, 0.0

    def _level(self, frame: NDArray[np.float32], ceiling: int) -> int:
        """Return the level of the next frame ``[channel, hop]``; `ROUTER` where the router decides."""
        if isinstance(self._rule, Routed):
            return ROUTER
        if isinstance(self._rule, Fixed):
            return min(self._rule.level, ceiling)
        assert self._snr is not None
        return min(int(self._snr(frame)[0]), ceiling)

    def _count(self, utilization: float) -> None:
        self._frames += 1
        self._used += utilization


class Batch:
    """Streams that come and go, enhanced together.

    Not for several threads at a time: a server has one batch for each of its threads, on one artefact.

    Args:
        artefact: The model.
        budget: Budget of streams that are added without one; see `sese.EnhanceOptions`.
        max_mmacs: Limit for all streams; see there.

    Raises:
        InputError: An argument cannot be used with this model.
    """

    def __init__(self, artefact: Artefact, budget: Budget = 1.0, *, max_mmacs: float | None = None) -> None:
        self.artefact = artefact
        self._budget = budget
        self._ceiling = highest_level(artefact.card, max_mmacs)
        self._members: dict[Member, None] = {}
        self._states = {name: spec.zeros(0) for name, spec in artefact.state.items()}
        self._free: list[int] = []  # rows of the states
        self._outputs = ["enhanced", "utilization", *(f"next_state.{name}" for name in artefact.state)]
        parse_budget(artefact.card, budget)

    def __len__(self) -> int:
        """Return the number of streams."""
        return len(self._members)

    def add(
        self,
        sample_rate: int | None = None,
        channels: int = 1,
        budget: Budget | None = None,
        *,
        mix: float = 1.0,
        latency: Latency = "low",
        band_above: AboveChoice = "follow",
    ) -> Member:
        """Add a stream with linked channels.

        Args:
            sample_rate: See `sese.runtime.stream.Stream`.
            channels: See there.
            budget: See `sese.EnhanceOptions`; None for the budget of the batch.
            mix: See there.
            latency: See `sese.runtime.stream.Stream`.
            band_above: See `sese.EnhanceOptions`.

        Raises:
            InputError: An argument cannot be used with this model.
        """
        options = EnhanceOptions(self._budget if budget is None else budget, mix=mix, band_above=band_above)
        framing = Framing(self.artefact.card, options, sample_rate, channels, latency)
        member = Member(self, framing, options.budget)
        if len(self._free) < framing.channels:
            self._grow(framing.channels)
        member._rows = np.array([self._free.pop() for _ in range(framing.channels)])
        self._clear(member)
        self._members[member] = None
        return member

    def remove(self, member: Member) -> None:
        """Remove a stream; samples that were not flushed are lost.

        Raises:
            InputError: It is not a stream of this batch.
        """
        self._require([member])
        del self._members[member]
        self._free += [int(row) for row in member._rows]

    def feed(self, chunks: Mapping[Member, NDArray[Any]]) -> dict[Member, NDArray[np.float32]]:
        """Take a chunk for each of some streams and return the samples of each that are ready.

        Args:
            chunks: Chunk of each stream, ``[channel, time]``, or ``[time]`` for one channel; floating point,
                any length.

        Raises:
            InputError: A stream is not of this batch, or a chunk cannot be used, see `Stream.feed`; no chunk
                is taken then.
        """
        self._require(chunks)
        for member, chunk in chunks.items():
            member._framing.check(chunk)
        enhanced = self._enhanced({member: member._framing.take(chunk) for member, chunk in chunks.items()})
        return {member: member._framing.give(enhanced[member]) for member in chunks}

    def flush(self, members: Iterable[Member]) -> dict[Member, NDArray[np.float32]]:
        """End the signals of some streams and return exactly the samples that are missing.

        The next chunk of each begins a new signal.

        Raises:
            InputError: A stream is not of this batch.
        """
        members = list(members)
        self._require(members)
        enhanced = self._enhanced({member: member._framing.finish() for member in members})
        for member in members:
            self._clear(member)
        return {member: member._framing.conclude(enhanced[member]) for member in members}

    def _enhanced(self, frames: Mapping[Member, NDArray[np.float32]]) -> dict[Member, NDArray[np.float32]]:
        """Enhance ``[channel, frames * hop]`` of each stream, frame by frame; return as many, delayed."""
        hop = self.artefact.card.hop_length
        enhanced = {member: np.empty_like(audio) for member, audio in frames.items()}
        for start in range(0, max((audio.shape[1] for audio in frames.values()), default=0), hop):
            span = slice(start, start + hop)
            groups: dict[Any, list[Member]] = defaultdict(list)
            for member, audio in frames.items():
                if audio.shape[1] > start:
                    level = member._level(audio[:, span], self._ceiling)
                    groups[member if level == ROUTER else level].append(member)
            for key, group in groups.items():
                audio = np.concatenate([frames[member][:, span] for member in group])
                done = self._call(audio, key, group)
                at = 0
                for member in group:
                    enhanced[member][:, span] = done[at : at + member.channels]
                    at += member.channels
        for member, audio in frames.items():
            require_sane(self.artefact.card, audio, enhanced[member])
        return enhanced

    def _call(
        self, audio: NDArray[np.float32], key: int | Member, group: list[Member]
    ) -> NDArray[np.float32]:
        """Run one frame of some streams ``[row, hop]`` at a level, or of one at the router's choice."""
        budget, level = 0.0, key
        if isinstance(key, Member):
            assert isinstance(key._rule, Routed)
            budget, level = key._rule.utilization, ROUTER
        rows = np.concatenate([member._rows for member in group])
        feeds: dict[str, Any] = {
            "audio": audio[:, np.newaxis],
            "level": np.array([level], np.int64),
            "budget": np.array(budget, np.float32),
            "ceiling": np.array(self._ceiling, np.int64),
        }
        feeds |= {f"state.{name}": state[rows] for name, state in self._states.items()}
        try:
            enhanced, utilization, *states = self.artefact.session.run(self._outputs, feeds)
        except Exception as error:  # see `sese.runtime.artefact.open_artefact`
            raise unusable(self.artefact.path, "it cannot run a step", error) from error
        for name, state in zip(self._states, states, strict=True):
            self._states[name][rows] = state
        for member in group:
            member._count(float(utilization[0]))
        return enhanced[:, 0]

    def _grow(self, rows: int) -> None:
        """Make room for this many channels at least, and an eighth more than there is."""
        held = next((len(state) for state in self._states.values()), 0)
        more = max(rows, 8, held // 8)
        for name, spec in self.artefact.state.items():
            self._states[name] = np.concatenate([self._states[name], spec.zeros(more)])
        self._free += range(held + more - 1, held - 1, -1)

    def _clear(self, member: Member) -> None:
        for state in self._states.values():
            state[member._rows] = 0
        if member._snr is not None:
            member._snr.reset()

    def _require(self, members: Iterable[Member]) -> None:
        for member in members:
            if member not in self._members:
                raise InputError("a stream is not of this batch, or was removed; add it first")
