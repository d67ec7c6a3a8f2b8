"""Open the input and the output of sound cards, and connect them to an engine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any

from sese.core.errors import InputError
from sese.core.native_output import native_errors_hidden
from sese.live.devices import SoundCard
from sese.live.engine import Engine

SILENT_SECONDS = 3.0
"""Time in seconds after which a silent device counts as gone."""


@dataclass(frozen=True)
class Form:
    """Form in which devices are opened.

    Attributes:
        sample_rate: Sample rate of both, in Hz.
        channels: Number of channels to record, and to play.
        block_frames: Number of frames of a callback.
        latency: Latency to ask of the devices: ``"low"``, ``"high"``, or seconds.
    """

    sample_rate: int
    channels: tuple[int, int]
    block_frames: int
    latency: str | float


class Duplex:
    """A context in which audio flows from one device through an engine to another.

    Input and output are two PortAudio streams, so that they may be of different cards and host interfaces.

    Args:
        sd: The module `sounddevice`.
        source: Device to record from.
        target: Device to play on.
        engine: Engine between the two.
        form: Sample rate, channels, block size and latency.

    Raises:
        InputError: A device cannot be opened in this form, or cannot be started when the context is entered.
    """

    def __init__(
        self,
        sd: Any,
        source: SoundCard,
        target: SoundCard,
        engine: Engine,
        form: Form,
    ) -> None:
        self._engine, self._refused = engine, sd.PortAudioError
        sample_rate, channels = form.sample_rate, form.channels
        common = {
            "samplerate": sample_rate,
            "blocksize": form.block_frames,
            "dtype": "float32",
            "latency": form.latency,
        }
        self._watched = [(0, monotonic())] * 2  # calls, and the time when they last changed

        def take(block: Any, _frames: int, _time: Any, status: Any) -> None:
            engine.take(block, status.input_overflow)

        def give(block: Any, _frames: int, _time: Any, status: Any) -> None:
            engine.give(block, status.output_underflow)

        self._streams: list[Any] = []
        for make, card, count, callback, kind in (
            (sd.InputStream, source, channels[0], take, "input"),
            (sd.OutputStream, target, channels[1], give, "output"),
        ):
            try:
                with native_errors_hidden():
                    opened = make(device=card.index, channels=count, callback=callback, **common)
            except (sd.PortAudioError, ValueError) as error:
                self._close()
                reason = str(error).replace("\n", " ")
                raise InputError(
                    f"{kind} device {card.index} ({card.name}) cannot be opened at {sample_rate} Hz with "
                    f"{count} channel(s) ({reason}); try another --rate (it prefers {card.sample_rate}), "
                    "--channels or device"
                ) from None
            self._streams.append(opened)

    @property
    def latency_seconds(self) -> tuple[float, float]:
        """Latency of the input and of the output, as PortAudio reports it."""
        return self._streams[0].latency, self._streams[1].latency

    def __enter__(self) -> Duplex:
        self._engine.start()
        try:
            for opened in reversed(self._streams):  # the output plays before anything is recorded
                with native_errors_hidden():
                    opened.start()
        except BaseException as error:
            self.__exit__(None, None, None)
            if isinstance(error, self._refused):
                reason = str(error).replace("\n", " ")
                raise InputError(
                    f"the sound card cannot be started ({reason}); "
                    "close other programs that use it, or try another device"
                ) from None
            raise
        self._watched = [(0, monotonic())] * 2
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._engine.stop()

    def check(self) -> None:
        """Raise the error that ended the model's thread, or InputError where a device is gone."""
        if self._engine.error is not None:
            raise self._engine.error
        for side, (opened, calls) in enumerate(zip(self._streams, self._engine.calls, strict=True)):
            known, since = self._watched[side]
            if calls != known:
                self._watched[side] = (calls, monotonic())
            elif not opened.active or monotonic() - since > SILENT_SECONDS:
                raise InputError("the sound card stopped; check that it is still connected")

    def _close(self) -> None:
        for opened in self._streams:
            with suppress(Exception), native_errors_hidden():  # a device that is gone cannot be closed
                opened.abort()
                opened.close()
