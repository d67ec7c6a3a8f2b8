"""An audio filter for Pipecat, which cleans what the user says before voice activity and speech are detected.

transport = SomeTransport(params=TransportParams(audio_in_enabled=True, audio_in_filter=SeseFilter()))
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from sese.core.errors import InputError
from sese.core.install import install_command
from sese.integrations.pcm import PcmStream
from sese.runtime.budget import Budget
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions

try:
    from loguru import logger
    from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
    from pipecat.frames.frames import FilterControlFrame, FilterEnableFrame, FilterUpdateSettingsFrame
except ImportError as error:
    raise ImportError(
        f"SeseFilter needs Pipecat ({error}); {install_command('pipecat')}", name=error.name
    ) from None


class SeseFilter(BaseAudioFilter):
    """Remove noise from the input of a transport, at any sample rate, with as many samples out as in.

    The model runs in a thread, so that the event loop goes on. The output is late by a constant time, 32 ms
    with `sese-2` at 16 kHz. ``FilterEnableFrame`` turns the filter on and off without a lost sample;
    ``FilterUpdateSettingsFrame`` with ``budget`` and ``max_attenuation_db`` changes them. Frames that mute
    the user do not reach filters: Pipecat drops the audio behind them.

    Args:
        model: See `sese.load`.
        budget: See `sese.EnhanceOptions`. The default rests where nobody speaks, in models that can, and
            in models with a router or gates leaves the choice to these; None for the value in `options`.
        max_attenuation_db: See there; None for the value in `options`.
        options: All other options.
        channels: Number of interleaved channels of the transport (``audio_in_channels``).

    Raises:
        InputError: An argument cannot be used.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        budget: Budget | None = "auto",
        *,
        max_attenuation_db: float | None = None,
        options: EnhanceOptions | None = None,
        channels: int = 1,
    ) -> None:
        options = (options or EnhanceOptions()).replaced(max_attenuation_db=max_attenuation_db)
        self._enhancer = Enhancer(model, budget, options=options)
        self._channels = channels
        self._pcm: PcmStream | None = None
        self._enabled = True

    @property
    def latency_samples(self) -> int | None:
        """Constant delay in samples at the transport's rate; None before `start`."""
        return None if self._pcm is None else self._pcm.latency_samples

    @property
    def speech_probability(self) -> float | None:
        """Probability of speech in the newest frame, see `PcmStream`; None before `start` too."""
        return None if self._pcm is None else self._pcm.speech_probability

    async def start(self, sample_rate: int) -> None:
        """Open a stream at the transport's sample rate.

        Raises:
            InputError: The rate is not within 8000 to 192000 Hz.
        """
        self._pcm = await asyncio.to_thread(PcmStream, self._enhancer, sample_rate, self._channels)
        self._pcm.enabled = self._enabled

    async def stop(self) -> None:
        """Close the stream."""
        self._pcm = None

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """Turn the filter on or off, or change its settings; settings that cannot be used are logged."""
        if isinstance(frame, FilterEnableFrame):
            self._enabled = frame.enable
            if self._pcm is not None:
                self._pcm.enabled = frame.enable
        elif isinstance(frame, FilterUpdateSettingsFrame):
            self._update(dict(frame.settings))

    def _update(self, settings: dict[str, Any]) -> None:
        known = {name: settings[name] for name in ("budget", "max_attenuation_db") if name in settings}
        if self._pcm is None or not known:
            return
        try:
            self._pcm.change(**known)
        except InputError as error:
            logger.error(f"{self.__class__.__name__}: {error}; the settings stay as they were")

    async def filter(self, audio: bytes) -> bytes:
        """Take samples and return as many, late by `latency_samples`."""
        if self._pcm is None:
            return audio
        return await asyncio.to_thread(self._pcm, audio)
