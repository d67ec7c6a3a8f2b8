"""Enhancing a signal that arrives in chunks."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.audio.files import require_finite
from sese.audio.resample import Resampler
from sese.errors import InputError
from sese.runtime.artefact import Artefact
from sese.runtime.budget import Budget
from sese.runtime.deadline import Deadline
from sese.runtime.pilot import Pilot
from sese.runtime.rates import longest_wait, require_rate

HIGHEST_CHANNELS = 64
TRACE_SECONDS = 3600


class Stream:
    """A stream through a model: feed chunks of any length, get enhanced samples as they become ready.

    What comes out is as long as what went in, aligned with it to the sample, and does not depend on how it
    was divided into chunks. Channels are enhanced independently, side by side on the batch axis.

    Args:
        artefact: The model.
        budget: See `sese.runtime.budget`.
        sample_rate: In Hz, 8000 to 192000, of what is fed and returned; None for the model's own.
        channels: Number of channels.
        wet: Share of the enhanced signal in the output, in [0, 1]; the rest is the input.
        max_mmacs: See `sese.runtime.enhancer.Enhancer`.
        max_rtf: See there. With one, levels and so samples depend on how fast the machine is.
        trace_seconds: Length of the `trace`; None for all of the signal, however long.

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
    ) -> None:
        card = artefact.card
        self.artefact = artefact
        self.sample_rate = require_rate(card.sample_rate if sample_rate is None else sample_rate)
        if not isinstance(channels, int | np.integer) or not 1 <= channels <= HIGHEST_CHANNELS:
            raise InputError(f"channels is {channels!r}; give a whole number from 1 to {HIGHEST_CHANNELS}")
        self.channels = int(channels)
        self.wet = wet
        self._flat = self.channels == 1  # whether to return [time], as the last chunk was
        frames = None if trace_seconds is None else round(trace_seconds * card.sample_rate / card.hop_length)
        self._pilot = Pilot(artefact, self.channels, budget, max_mmacs, max_rtf, frames)
        self._to_model = Resampler(self.sample_rate, card.sample_rate, self.channels)
        self._from_model = Resampler(card.sample_rate, self.sample_rate, self.channels)
        self.reset()

    def reset(self) -> None:
        """Forget the signal and the statistics."""
        self._restart()
        self._pilot.reset()
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
        audio = self._checked(np.asarray(chunk))
        self._flat = np.ndim(chunk) == 1
        started = perf_counter()
        self._fed += audio.shape[1]
        self._heard += audio.shape[1]
        enhanced = self._through_model(self._to_model.feed(audio.T).T)
        ready = self._blend(self._from_model.feed(enhanced.T).T, audio)
        self._busy_seconds += perf_counter() - started
        return ready[0] if self._flat else ready

    def flush(self) -> NDArray[np.float32]:
        """End the signal: return exactly the samples that are missing, in the shape of the last chunk.

        The next chunk begins a new signal.
        """
        started = perf_counter()
        lookahead, hop = self.artefact.card.lookahead_samples, self.artefact.card.hop_length
        last = self._through_model(self._to_model.flush().T)
        missing = self._entered - self._left
        silence = np.zeros((self.channels, lookahead + hop), np.float32)
        tail = self._through_model(silence)[:, :missing]
        resampled = [self._from_model.feed(part.T) for part in (last, tail)]
        resampled.append(self._from_model.flush(total=self._fed))
        ready = self._blend(np.concatenate(resampled).T, np.zeros((self.channels, 0), np.float32))
        self._restart()
        self._busy_seconds += perf_counter() - started
        return ready[0] if self._flat else ready

    @property
    def latency_samples(self) -> int:
        """Most samples that a sample waits for before it is returned, at the stream's own rate.

        At the model's rate this is one hop and the lookahead; at others the resampling filters add theirs.
        """
        card = self.artefact.card
        if self.sample_rate == card.sample_rate:
            return card.latency_samples
        return longest_wait(self.sample_rate, card.sample_rate, card.hop_length, card.lookahead_samples)

    @property
    def budget(self) -> Budget:
        """The budget. May be changed between chunks: the next frame follows it."""
        return self._pilot.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._pilot.budget = budget

    @property
    def highest_level(self) -> int:
        """Highest level that the limits allow now, counted from 0, the cheapest."""
        return self._pilot.ceiling

    @property
    def deadline(self) -> Deadline | None:
        """What became of `max_rtf` since the last `reset`: how many frames were late; None without one."""
        return self._pilot.deadline

    @property
    def routed(self) -> bool:
        """Whether the model's router picks the levels, which costs `router_macs_per_second` of its card."""
        return self._pilot.routed

    @property
    def utilization(self) -> float:
        """Mean share of the model's compute used since the last `reset`, in (0, 1]; NaN before any frame."""
        return self._pilot.utilization

    @property
    def trace(self) -> NDArray[np.float32]:
        """Share of the model's compute used by each frame since the last `reset` ``[frame]``, in (0, 1].

        Of the last hour, unless told otherwise; the latest frame comes last.
        """
        return self._pilot.trace

    @property
    def real_time_factor(self) -> float:
        """Processing time over the duration of what was fed since the last `reset`; NaN before any."""
        return self._busy_seconds * self.sample_rate / self._heard if self._heard else float("nan")

    def _restart(self) -> None:
        self._pilot.restart()
        self._to_model.reset()
        self._from_model.reset()
        self._pending = np.zeros((self.channels, 0), np.float32)  # less than a hop, at the model's rate
        self._dry = np.zeros((self.channels, 0), np.float32)  # input that awaits its enhanced counterpart
        self._skip = self.artefact.card.lookahead_samples  # enhanced samples from before the signal
        self._fed = 0  # samples, at the stream's rate
        self._entered = self._left = 0  # samples, at the model's rate

    def _checked(self, audio: NDArray[Any]) -> NDArray[np.float32]:
        if not np.issubdtype(audio.dtype, np.floating):
            raise InputError(
                f"audio has dtype {audio.dtype}; give floating point samples in [-1, 1] "
                "(divide 16-bit ones by 32768)"
            )
        if audio.ndim == 1 and self.channels == 1:
            audio = audio[np.newaxis]
        if audio.ndim != 2 or audio.shape[0] != self.channels:
            raise InputError(
                f"audio has shape {audio.shape}; this stream takes [channel, time] with "
                f"{self.channels} channel(s)"
            )
        audio = audio.astype(np.float32, copy=False)
        require_finite(audio.T, "audio", self._fed, self.sample_rate)
        return audio

    def _through_model(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[channel, time]`` at the model's rate, any length -> what is ready, aligned with the input."""
        hop = self.artefact.card.hop_length
        self._entered += audio.shape[1]
        audio = np.concatenate([self._pending, audio], axis=1)
        whole = audio.shape[1] // hop * hop
        enhanced = self._pilot(audio[:, :whole])
        self._pending = audio[:, whole:].copy()
        if not np.isfinite(enhanced).all():
            raise InputError(
                f"model {self.artefact.card.name} gave NaN or infinity for audio with peak "
                f"{np.abs(audio).max():.3g}; scale the audio to [-1, 1]"
            )
        early = min(self._skip, whole)
        self._skip -= early
        self._left += whole - early
        return enhanced[:, early:]

    def _blend(self, enhanced: NDArray[np.float32], audio: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.wet == 1:
            return enhanced
        self._dry = np.concatenate([self._dry, audio], axis=1)
        dry, self._dry = np.split(self._dry, [enhanced.shape[1]], axis=1)
        return self.wet * enhanced + (1 - self.wet) * dry
