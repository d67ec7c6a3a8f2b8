"""Sample rates of streams: which there may be, and the wait that resampling adds."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from sese.audio.files import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from sese.audio.resample import Resampler
from sese.errors import InputError


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


@lru_cache
def longest_wait(rate_hz: int, model_hz: int, hop: int, lookahead: int) -> int:
    """Most samples that a sample waits for in a stream at another rate than the model's.

    Counted at the stream's rate. Found by sending a second of silence through the resamplers alone.

    Args:
        rate_hz: Of the stream.
        model_hz: Of the model.
        hop: Samples a frame, at the model's rate.
        lookahead: Samples that the model's output is late by, at its rate.
    """
    to_model, from_model = Resampler(rate_hz, model_hz, 1), Resampler(model_hz, rate_hz, 1)
    chunk = np.zeros((max(1, rate_hz // 2000), 1), np.float32)
    entered = passed = fed = returned = longest = 0
    while fed < rate_hz:
        fed += len(chunk)
        longest = max(longest, fed - returned)
        entered += len(to_model.feed(chunk))
        ready = max(passed, entered // hop * hop - lookahead)
        returned += len(from_model.feed(np.zeros((ready - passed, 1), np.float32)))
        passed = ready
    return longest
