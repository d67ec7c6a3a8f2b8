"""A sound card's input and output, open and connected to an engine."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any

from sese.core.errors import InputError
from sese.core.native_output import native_errors_hidden
from sese.live.devices import SoundCard
from sese.live.engine import Engine

SILENT_SECONDS = 3.0
"""A device that does not call for so long is gone."""


class Duplex:
    """A context in which audio flows from one device through an engine to another.

    Input and output are two PortAudio streams, so that they may be of different cards and host interfaces.

    Args:
        sd: The module `sounddevice`.
        source: Where to record.
        target: Where to play.
        engine: What is in between.
        sample_rate: Of both, in Hz.
        channels: To record and to play.
        block_frames: Samples a callback.
        latency: Of the devices: ``"low"``, ``"high"``, or seconds.

    Raises:
        InputError: A device cannot be opened so, or, when the context is entered, not started.
    """

    def __init__(
        self,
        sd: Any,
        source: SoundCard,
        target: SoundCard,
        engine: Engine,
        sample_rate: int,
        channels: tuple[int, int],
        block_frames: int,
        latency: str | float,
    ) -> None:
        self._engine, self._refused = engine, sd.PortAudioError
        common = {
            "samplerate": sample_rate,
            "blocksize": block_frames,
            "dtype": "float32",
            "latency": latency,
        }
        self._watched = [(0, monotonic())] * 2  # calls, and when they last changed

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
        """Of the input and of the output, as PortAudio tells them."""
        return self._streams[0].latency, self._streams[1].latency

    def __enter__(self) -> Duplex:
        self._engine.start()
        try:
            for opened in reversed(self._streams):  # what is recorded is to find the output playing
                with native_errors_hidden():
                    opened.start()
        except BaseException as error:
            self.__exit__(None, None, None)
            if isinstance(error, self._refused):
                reason = str(error).replace("\n", " ")
                raise InputError(
                    f"the sound card cannot be started ({reason}); is it in use? try another device"
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
        """Raise what ended the model's thread, or InputError when a device is gone."""
        if self._engine.error is not None:
            raise self._engine.error
        for side, (opened, calls) in enumerate(zip(self._streams, self._engine.calls, strict=True)):
            known, since = self._watched[side]
            if calls != known:
                self._watched[side] = (calls, monotonic())
            elif not opened.active or monotonic() - since > SILENT_SECONDS:
                raise InputError("the sound card stopped; is it still connected?")

    def _close(self) -> None:
        for opened in self._streams:
            with suppress(Exception), native_errors_hidden():  # a device that is gone cannot be closed
                opened.abort()
                opened.close()
