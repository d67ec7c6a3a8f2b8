"""Handle sample rates of streams: which are allowed, how to resample, and the delay that this adds."""

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
    """Return a sample rate in Hz as an int; raise InputError unless it is a whole number in range."""
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


def resampler(
    latency: Latency, source_hz: int, target_hz: int, channels: int
) -> Resampler | ShortResampler | None:
    """Return a resampler with filters of 2 ms each way (``"low"``), or with steep and long ones (``"high"``).

    Between equal rates there is nothing to do, and it is None.

    Raises:
        InputError: `latency` is another value.
    """
    if latency not in ("low", "high"):
        raise InputError(f"latency is {latency!r}; give 'low' (live) or 'high' (files)")
    if source_hz == target_hz:
        return None
    kind = ShortResampler if latency == "low" else Resampler
    return kind(source_hz, target_hz, channels)


@lru_cache
def longest_wait(latency: Latency, rate_hz: int, model_hz: int, hop: int, lookahead: int) -> int:
    """Return the longest wait of a sample in a stream at another rate than the model's.

    It is counted in samples of the stream: from the sample itself to the one that brings it out. It is exact
    for the short filters; for the long ones, a second of silence is sent through in chunks of half a
    millisecond.

    Args:
        latency: Kind of filters.
        rate_hz: Sample rate of the stream.
        model_hz: Sample rate of the model.
        hop: Number of samples in a frame, at the model's rate.
        lookahead: Number of samples by which the model's output is late, at its rate.
    """
    if latency == "low":
        # The pattern of hops and samples repeats after this many samples; the first round only fills up.
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
