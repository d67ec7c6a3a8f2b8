"""Arrays of audio from callers: which axis is time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError

HIGHEST_CHANNELS = 64


def channels_first(audio: Any, channels_last: bool | None = None) -> NDArray[Any]:
    """Return audio as ``[time]`` or ``[channel, time]``.

    Args:
        audio: ``[time]``, ``[channel, time]``, or ``[time, channel]`` as the package soundfile has it.
        channels_last: True for ``[time, channel]``; False for ``[channel, time]``; None for
            ``[channel, time]`` too, but an array with more channels than samples is refused then.

    Raises:
        InputError: The shape cannot be used, or looks like ``[time, channel]``.
    """
    audio = np.asarray(audio)
    if audio.ndim not in (1, 2):
        raise InputError(f"audio has shape {audio.shape}; give [time] or [channel, time]")
    if audio.ndim == 1:
        return audio
    if channels_last:
        audio = audio.T
    channels, time = audio.shape
    if channels_last is None and channels > time > 0:
        raise InputError(
            f"audio has shape {audio.shape}, which looks like [time, channel]; pass audio.T, or "
            "channels_last=True (channels_last=False if these are indeed channels)"
        )
    if not 1 <= channels <= HIGHEST_CHANNELS:
        raise InputError(
            f"audio has shape {audio.shape}, which is {channels} channels; give [time] or [channel, time] "
            f"with 1 to {HIGHEST_CHANNELS} channels"
        )
    return audio
