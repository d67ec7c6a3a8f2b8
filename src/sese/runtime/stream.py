"""Enhancing a signal that arrives in chunks."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.artefact import Artefact, Card
from sese.runtime.band_above import FOLLOW
from sese.runtime.budget import Budget
from sese.runtime.deadline import Deadline
from sese.runtime.framing import Framing, require_sane
from sese.runtime.pilot import Pilot
from sese.runtime.rates import Latency

TRACE_SECONDS = 60


class Stream:
    """A stream through a model: feed chunks of any length, get enhanced samples as they become ready.

    What comes out is as long as what went in, aligned with it to the sample, and does not depend on how it
    was divided into chunks. Any number of streams may use one model at a time, each from a thread of its own;
    one stream is fed by one thread at a time.

    Channels are enhanced side by side. Linked, they share the level of each frame, decided from what all of
    them hold, and one gain above the model's band, so that the stereo image stays in place there; below, the
    model attenuates each channel by what it hears in it. Not linked, each is enhanced as if it came alone.

    Args:
        artefact: The model.
        budget: See `sese.runtime.budget`.
        sample_rate: In Hz, 8000 to 192000, of what is fed and returned; None for the model's own.
        channels: Number of channels, 1 to 64.
        wet: Share of the enhanced signal in the output, in [0, 1]; the rest is the input.
        max_mmacs: See `sese.runtime.enhancer.Enhancer`.
        max_rtf: See there. With one, levels and so samples depend on how fast the machine is.
        trace_seconds: Length of the `trace`; None for all of the signal, however long.
        latency: What resampling adds at other rates than the model's: about 4 ms (``"low"``), or tens of ms
            for filters that pass more of the highest 10 % of the band (``"high"``).
        band_above: What becomes of the band that the model does not hear: kept, attenuated by the gain that
            the model has in the upper part of its own (``"follow"``), or dropped (``"drop"``).
        linked: Whether channels are linked. Not linked, they cannot have `max_rtf`.

    Raises:
        InputError: An argument cannot be used with this model.
    """

    def __init__(
        self,
        artefact: Artefact,
        budget: Budget = 1.0,
        sample_rate: int | None = None,
        channels: int = 1,
        wet: float = 1.0,
        *,
        max_mmacs: float | None = None,
        max_rtf: float | None = None,
        trace_seconds: float | None = TRACE_SECONDS,
        latency: Latency = "low",
        band_above: str = FOLLOW,
        linked: bool = True,
    ) -> None:
        card = artefact.card
        self.artefact = artefact
        self._framing = Framing(card, sample_rate, channels, wet, latency, band_above, linked)
        self.sample_rate, self.channels, self.wet = self._framing.sample_rate, self._framing.channels, wet
        frames = _trace_frames(card, trace_seconds)
        together = linked or self.channels == 1
        if max_rtf is not None and not together:
            raise InputError(
                "max_rtf (--max-rtf) is for the channels together; link them (linked=True, --linked), or "
                "leave it out"
            )
        # Each decides on the levels of its channels.
        self._pilots = [
            Pilot(artefact, self.channels if together else 1, budget, max_mmacs, max_rtf, frames)
            for _ in range(1 if together else self.channels)
        ]
        self._busy_seconds = 0.0
        self._heard = 0

    def reset(self) -> None:
        """Forget the signal and the statistics."""
        self._framing.reset()
        for pilot in self._pilots:
            pilot.reset()
        self._busy_seconds = 0.0
        self._heard = 0

    def feed(self, chunk: NDArray[Any]) -> NDArray[np.float32]:
        """Take a chunk and return the enhanced samples that are ready.

        Args:
            chunk: ``[channel, time]``, or ``[time]`` for one channel; floating point, any length.

        Returns:
            ``[channel, time]`` or ``[time]``, like the chunk, of whatever length is ready.

        Raises:
            InputError: The chunk has another shape or type, or holds NaN or infinity; it is not taken then.
        """
        started = perf_counter()
        before = self._framing.fed
        frames = self._framing.take(chunk)
        self._heard += self._framing.fed - before
        ready = self._framing.give(self._enhanced(frames))
        self._busy_seconds += perf_counter() - started
        return ready

    def flush(self) -> NDArray[np.float32]:
        """End the signal: return exactly the samples that are missing, in the shape of the last chunk.

        The next chunk begins a new signal.
        """
        started = perf_counter()
        ready = self._framing.conclude(self._enhanced(self._framing.finish()))
        for pilot in self._pilots:
            pilot.restart()
        self._busy_seconds += perf_counter() - started
        return ready

    @property
    def latency_samples(self) -> int:
        """Most samples that a sample waits for before it is returned, at the stream's own rate.

        At the model's rate this is one hop and the lookahead; at others the resampling filters add theirs.
        """
        return self._framing.latency_samples

    @property
    def budget(self) -> Budget:
        """The budget. May be changed between chunks: the next frame follows it."""
        return self._pilots[0].budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        for pilot in self._pilots:
            pilot.budget = budget

    @property
    def highest_level(self) -> int:
        """Highest level that the limits allow now, counted from 0, the cheapest."""
        return self._pilots[0].ceiling

    @property
    def deadline(self) -> Deadline | None:
        """What became of `max_rtf` since the last `reset`: how many frames were late; None without one."""
        return self._pilots[0].deadline

    @property
    def routed(self) -> bool:
        """Whether the model's router picks the levels, which costs `router_macs_per_second` of its card."""
        return self._pilots[0].routed

    @property
    def utilization(self) -> float:
        """Mean share of the scalable compute used since the last `reset`, in (0, 1]; NaN before any frame."""
        return sum(pilot.utilization for pilot in self._pilots) / len(self._pilots)

    @property
    def trace(self) -> NDArray[np.float32]:
        """Share of the model's compute used by each frame since the last `reset` ``[frame]``, in (0, 1].

        Of the last minute, unless told otherwise; the latest frame comes last. The mean of all channels where
        they are not linked.
        """
        return np.mean([pilot.trace for pilot in self._pilots], axis=0, dtype=np.float32)

    @property
    def real_time_factor(self) -> float:
        """Processing time over the duration of what was fed since the last `reset`; NaN before any."""
        return self._busy_seconds * self.sample_rate / self._heard if self._heard else float("nan")

    def _enhanced(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(self._pilots) == 1:
            enhanced = self._pilots[0](frames)
        else:
            enhanced = np.concatenate([pilot(frames[at : at + 1]) for at, pilot in enumerate(self._pilots)])
        require_sane(self.artefact.card, frames, enhanced)
        return enhanced


def _trace_frames(card: Card, seconds: Any) -> int | None:
    """Frames of the trace to keep; None for all."""
    if seconds is None:
        return None
    try:
        frames = float(seconds) * card.sample_rate / card.hop_length
    except (TypeError, ValueError, OverflowError):
        frames = -1.0
    if not 0 <= frames < float("inf"):
        raise InputError(f"trace_seconds is {seconds!r}; give a number of seconds from 0 up, or None for all")
    return round(frames)
