"""Enhance 16-bit samples that arrive as bytes, with as many out as in at each call.

Frameworks for voice agents pass audio on in small frames and expect frames of the same length back. So the
output here is late by a constant time, which begins with silence, and never runs dry. Where enhancement is
off, the input passes through the same delay, so that turning it on or off loses and repeats nothing.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

FULL_SCALE = 32768
RECENT_SECONDS = 0.2
"""Length of the signal's end whose probability of speech is kept."""


class PcmStream:
    """Enhance bytes of interleaved 16-bit samples, native order; call it with bytes, get as many back.

    Calls may come from any threads; one runs at a time.

    Args:
        enhancer: Model and options.
        sample_rate: Sample rate in Hz, 8000 to 192000.
        channels: Number of interleaved channels.

    Attributes:
        latency_samples: Constant delay of the output, in samples at `sample_rate`.

    Raises:
        InputError: An argument cannot be used.

    Example:
        >>> import sese
        >>> from sese.integrations.pcm import PcmStream
        >>> stream = PcmStream(sese.load("sese-2", budget="auto"), 16000)
        >>> len(stream(bytes(640)))  # 20 ms
        640
    """

    def __init__(self, enhancer: Enhancer, sample_rate: int, channels: int = 1) -> None:
        self._enhancer, self._rate, self._channels = enhancer, sample_rate, channels
        self._enabled, self._lock = True, threading.Lock()
        self._options = enhancer.options
        self._stream = self._opened()
        self.latency_samples = self._stream.latency_samples
        self._ready = np.zeros((self.latency_samples, channels), np.int16)

    @property
    def options(self) -> EnhanceOptions:
        """Options that are in use."""
        return self._options

    @property
    def enabled(self) -> bool:
        """Whether the audio is enhanced; else it passes, late by the same time. It may be set."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        with self._lock:
            if self._enabled and not enabled:
                self._conclude()
            self._enabled = enabled

    def change(self, **changes: Any) -> None:
        """Change options, such as ``budget`` and ``max_attenuation_db``, for what comes next.

        Raises:
            InputError: An option is unknown or cannot be used; nothing changes then.
        """
        try:
            options = self._options.replaced(**changes)
        except TypeError:
            raise InputError(f"options {sorted(changes)}: give fields of sese.EnhanceOptions") from None
        with self._lock:
            if options == self._options:
                return
            before, self._options = self._options, options
            try:
                stream = self._opened()
            except InputError:
                self._options = before
                raise
            if options == before.replaced(budget=options.budget):
                self._stream.budget = options.budget  # goes on without a new beginning
            else:
                self._conclude()
                self._stream = stream

    @property
    def speech_probability(self) -> float | None:
        """Probability of speech in the newest complete frame; NaN before any and at fixed levels.

        None in models that do not detect speech, see `sese.Stream.speech_probability`.
        """
        heard = self._stream.speech_probability
        if heard is None:
            return None
        return float(heard[-1]) if self._enabled and len(heard) else float("nan")

    @property
    def utilization(self) -> float:
        """Mean share of compute used since the options last changed, see `sese.Stream.utilization`."""
        return self._stream.utilization

    def __call__(self, pcm: bytes) -> bytes:
        """Take samples and return as many, late by `latency_samples`.

        Raises:
            InputError: The bytes are not whole samples of every channel; none are taken then.
        """
        width = 2 * self._channels
        if len(pcm) % width:
            raise InputError(
                f"{len(pcm)} bytes are not whole 16-bit samples of {self._channels} channel(s); "
                f"give a multiple of {width} bytes"
            )
        samples = np.frombuffer(pcm, np.int16).reshape(-1, self._channels)
        with self._lock:
            if self._enabled:
                samples = _to_pcm(self._stream.feed(samples.T.astype(np.float32) / FULL_SCALE))
            queue = np.concatenate([self._ready, samples])
            count = len(pcm) // width
            self._ready = queue[count:]
            return queue[:count].tobytes()

    def _conclude(self) -> None:
        """End the enhanced signal: what is missing of it follows what is ready."""
        self._ready = np.concatenate([self._ready, _to_pcm(self._stream.flush())])

    def _opened(self) -> Stream:
        return Stream(
            self._enhancer.artefact, self._options, self._rate, self._channels, trace_seconds=RECENT_SECONDS
        )


def _to_pcm(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return ``[channel, time]`` as 16-bit samples ``[time, channel]``."""
    return np.clip(np.rint(audio.T * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
