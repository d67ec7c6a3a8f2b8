"""Enhance a signal that arrives in chunks."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.artefact import Artefact
from sese.runtime.budget import Budget
from sese.runtime.card import Card
from sese.runtime.deadline import Deadline
from sese.runtime.framing import Framing, require_sane
from sese.runtime.options import EnhanceOptions
from sese.runtime.pilot import Pilot
from sese.runtime.rates import Latency

TRACE_SECONDS = 60
"""Length of the signal's end that a trace covers, unless told otherwise."""


class Stream:
    """A stream through a model: feed chunks of any length, get enhanced samples as they become ready.

    The output is as long as the input, aligned with it to the sample, and the same for any division into
    chunks. Any number of streams may use one model at a time, each from a thread of its own; one stream is
    fed by one thread at a time.

    Channels are enhanced side by side. Linked channels share the level of each frame, decided from all of
    them; what is attenuated in a channel depends on what is in it. Channels that are not linked are enhanced
    as if each were alone.

    Args:
        artefact: The model.
        options: How to enhance. With `max_rtf`, levels and so samples depend on the speed of the machine.
        sample_rate: Sample rate of the signal in Hz, 8000 to 192000; None for the model's own.
        channels: Number of channels, 1 to 64.
        trace_seconds: Length of the signal's end that `trace` covers; None for the whole signal.
        latency: Delay that resampling adds at other rates than the model's: about 4 ms (``"low"``), or tens
            of ms for filters that pass more of the highest 10% of the band (``"high"``).

    Attributes:
        options: How this stream enhances, as it was opened.

    Raises:
        InputError: An argument cannot be used with this model.

    Example:
        >>> import numpy as np
        >>> from sese.runtime.artefact import open_artefact
        >>> from sese.runtime.options import EnhanceOptions
        >>> stream = Stream(open_artefact("sese-2"), EnhanceOptions("fastest"), channels=2)
        >>> stream
        Stream('sese-2', budget='fastest', sample_rate=16000, channels=2, latency_samples=512)
        >>> stream.feed(np.zeros((2, 1000), np.float32)).shape  # what is missing comes with flush
        (2, 512)
    """

    def __init__(
        self,
        artefact: Artefact,
        options: EnhanceOptions | None = None,
        sample_rate: int | None = None,
        channels: int = 1,
        *,
        trace_seconds: float | None = TRACE_SECONDS,
        latency: Latency = "low",
    ) -> None:
        self.artefact, self.options = artefact, options or EnhanceOptions()
        self._framing = Framing(artefact.card, self.options, sample_rate, channels, latency)
        self.sample_rate, self.channels = self._framing.sample_rate, self._framing.channels
        self.options.check(artefact.card, self.channels)
        frames = _trace_frames(artefact.card, trace_seconds)
        together = self.options.linked or self.channels == 1
        # Each pilot decides on the levels of its channels.
        self._pilots = [
            Pilot(artefact, self.channels if together else 1, self.options, frames)
            for _ in range(1 if together else self.channels)
        ]
        self._busy_seconds = 0.0
        self._heard = 0

    def __repr__(self) -> str:
        options = self.options.replaced(budget=self.budget)
        return (
            f"Stream({self.artefact.place!r}, {options}, sample_rate={self.sample_rate}, "
            f"channels={self.channels}, latency_samples={self.latency_samples})"
        )

    @property
    def wet(self) -> float:
        """Share of the enhanced signal in the output, in [0, 1]; the rest is the input."""
        return self.options.wet

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
        """End the signal and return exactly the samples that are missing, in the shape of the last chunk.

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
        """Longest time that a sample waits before it is returned, in samples at the stream's own rate.

        At the model's rate this is one hop and the lookahead; at others the resampling filters add theirs.
        """
        return self._framing.latency_samples

    @property
    def budget(self) -> Budget:
        """Budget. It may be changed between chunks: the next frame follows it."""
        return self._pilots[0].budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        for pilot in self._pilots:
            pilot.budget = budget

    @property
    def highest_level(self) -> int:
        """Highest level that the limits allow now, counted from 0, the lowest."""
        return self._pilots[0].ceiling

    @property
    def deadline(self) -> Deadline | None:
        """Record of late frames since the last `reset`; None without `max_rtf`."""
        return self._pilots[0].deadline

    @property
    def routed(self) -> bool:
        """Whether the model's router picks the levels, which costs `router_macs_per_second` of its card."""
        return self._pilots[0].routed

    @property
    def utilization(self) -> float:
        """Mean share of compute used since the last `reset`, in (0, 1]; NaN before any frame."""
        return sum(pilot.utilization for pilot in self._pilots) / len(self._pilots)

    @property
    def trace(self) -> NDArray[np.float32]:
        """Share of compute used by each frame since the last `reset` ``[frame]``, in (0, 1], the latest last.

        It covers the last minute, unless told otherwise. Where channels are not linked, it is their mean.
        """
        return np.mean([pilot.trace for pilot in self._pilots], axis=0, dtype=np.float32)

    @property
    def speech_probability(self) -> NDArray[np.float32] | None:
        """Probability of speech in each frame that `trace` covers ``[frame]``, in [0, 1], the latest last.

        Frame i covers the input from sample i times the hop to the next hop, at the model's rate. Its value
        is known as soon as that frame is complete, one lookahead before its enhanced samples. It is NaN in
        frames that the router does not decide on, as with a fixed level: use ``budget="auto"``, or a number
        below 1 at which the model rests. Channels have one value; where they are not linked, it is that of
        the likeliest. None in models that do not detect speech, and in files that were exported before this
        output existed.
        """
        if not self.artefact.detects_speech:
            return None
        return np.fmax.reduce([pilot.speech_probability for pilot in self._pilots])

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
    """Return the number of frames of the trace to keep; None for all."""
    if seconds is None:
        return None
    try:
        frames = float(seconds) * card.sample_rate / card.hop_length
    except (TypeError, ValueError, OverflowError):
        frames = -1.0
    if not 0 <= frames < float("inf"):
        raise InputError(f"trace_seconds is {seconds!r}; give a number from 0, or None for all")
    return round(frames)
