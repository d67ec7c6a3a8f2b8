"""Sample rates of streams: which there may be, how to change them, and the wait that this adds."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from sese.audio.files import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from sese.audio.polyphase import ShortResampler, ready_samples
from sese.audio.resample import Resampler
from sese.core.errors import InputError

Latency = Literal["low", "high"]


def require_rate(sample_rate: Any) -> int:
    """A sample rate in Hz as an int, or InputError when it is no whole number from 8000 to 192000."""
    try:
        rate = int(sample_rate)
    except (TypeError, ValueError, OverflowError):
        rate = 0
    if rate != sample_rate or not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise InputError(
            f"sample_rate is {sample_rate!r}; give a whole number of Hz from {LOWEST_RATE_HZ} to "
            f"{HIGHEST_RATE_HZ}"
        )
    return rate


def resampler(latency: Latency, source_hz: int, target_hz: int, channels: int) -> Resampler | ShortResampler:
    """A resampler with filters of 2 ms each way (``"low"``), or with the steep and long ones (``"high"``).

    Raises:
        InputError: `latency` is neither.
    """
    if latency not in ("low", "high"):
        raise InputError(f"latency is {latency!r}; give 'low' (live) or 'high' (files)")
    kind = ShortResampler if latency == "low" else Resampler
    return kind(source_hz, target_hz, channels)


@lru_cache
def longest_wait(latency: Latency, rate_hz: int, model_hz: int, hop: int, lookahead: int) -> int:
    """Most samples that a sample waits for in a stream at another rate than the model's.

    Counted at the stream's rate: the most samples fed, itself included, up to the one that brings it out.
    Exact for the short filters; for the long ones found by sending a second of silence through, half a
    millisecond a chunk.

    Args:
        latency: Which filters.
        rate_hz: Of the stream.
        model_hz: Of the model.
        hop: Samples a frame, at the model's rate.
        lookahead: Samples that the model's output is late by, at its rate.
    """
    if latency == "low":
        # The pattern of hops and samples repeats after so many samples; the first round only starts.
        period = hop * rate_hz // math.gcd(hop * rate_hz, model_hz)
        start = rate_hz * (lookahead + hop) // model_hz + rate_hz // 50
        fed = np.arange(start + 2 * period + 1)
        entered = ready_samples(fed, rate_hz, model_hz)
        ready = np.maximum(entered // hop * hop - lookahead, 0)
        returned = ready_samples(ready, model_hz, rate_hz)
        return int((fed[1:] - returned[:-1]).max())
    to_model, from_model = Resampler(rate_hz, model_hz, 1), Resampler(model_hz, rate_hz, 1)
    chunk = np.zeros((max(1, rate_hz // 2000), 1), np.float32)
    taken = passed = sent = heard = longest = 0
    while sent < rate_hz:
        sent += len(chunk)
        longest = max(longest, sent - heard)
        taken += len(to_model.feed(chunk))
        done = max(passed, taken // hop * hop - lookahead)
        heard += len(from_model.feed(np.zeros((done - passed, 1), np.float32)))
        passed = done
    return longest
