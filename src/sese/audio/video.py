"""Write a video with other sound: pictures and subtitles are copied, in step with the sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.audio.files import AudioInfo
from sese.audio.media import MediaFile, demuxer, require_av
from sese.core.errors import InputError
from sese.core.files import Part, unwritable

# By extension: FFmpeg's muxer, codec of the sound.
_MUXERS = {
    ".mp4": ("mp4", "aac"), ".m4v": ("mp4", "aac"), ".3gp": ("mp4", "aac"), ".mov": ("mov", "aac"),
    ".mkv": ("matroska", "flac"), ".webm": ("webm", "libopus"),
}  # fmt: skip
_COPIED = ("video", "audio", "subtitle")
_LEAST_BITS, _MOST_BITS, _USUAL_BITS = 64_000, 320_000, 128_000  # per second
_MOST_CHANNELS = 8


class VideoWriter:
    """A context that writes a copy of a video whose sound is what is written to it.

    The destination appears whole or not at all, see `sese.core.files.Part`. The new sound starts at the same
    time as the old one. Only the best of several sound tracks is replaced; the others are copied.

    Args:
        target: Destination; its extension chooses the format: AAC in MP4 and MOV, FLAC in Matroska, Opus in
            WebM.
        like: Properties of the sound, from the source of the pictures.

    Attributes:
        clipped_samples: 0, as these encodings clip nothing that is written.
        notes: What of the source is not in the copy, a line each.

    Raises:
        InputError: The destination cannot be written, or cannot hold the pictures.
    """

    def __init__(self, target: str | os.PathLike[str], like: AudioInfo) -> None:
        self.target, self.like = Path(target), like
        self.clipped_samples = 0
        self.notes: list[str] = []
        self._written = 0
        self._av = require_av(like.path)

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack:
            try:
                self.target.parent.mkdir(parents=True, exist_ok=True)
                self._part = Part(self.target)
            except OSError as error:
                raise unwritable(self.target, error) from error
            stack.callback(self._part.drop)
            try:
                self._open(stack)
            except (self._av.error.FFmpegError, OSError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise self._error(error) from error
            self._stack = stack.pop_all()
        return self

    def _open(self, stack: ExitStack) -> None:
        form = demuxer(self.like.path)
        assert form is not None
        with MediaFile(self.like.path, form) as media:
            found = media.find()
        self._source = stack.enter_context(MediaFile(self.like.path, form))
        muxer, codec = _MUXERS[self.target.suffix.lower()]
        # MP4 rounds the start of the sound to the clock of the film, in ms unless it is told another.
        options = {"movie_timescale": str(self.like.sample_rate)} if muxer in ("mp4", "mov") else {}
        self._file = stack.enter_context(open(self._part.path, "wb"))  # noqa: SIM115
        self._out = self._av.open(self._file, "w", format=muxer, options=options)
        stack.callback(_quietly(self._out.close, self._av.error.FFmpegError))
        self._out.metadata.update(self._source.container.metadata)
        self._copies: dict[int, Any] = {}
        for stream in self._source.container.streams:
            if stream.index == self._source.stream.index:
                self._sound = self._add_sound(codec, found.layout)
                self._sound.metadata.update(stream.metadata)
            elif stream.type in _COPIED:
                copy = self._out.add_stream_from_template(stream)
                copy.metadata.update(stream.metadata)
                self._copies[stream.index] = copy
            else:
                self.notes.append(f"a {stream.type} track was left out")
        self._packets = self._others()
        self._next = next(self._packets, None)
        self._begin = found.start

    def _add_sound(self, codec: str, layout: str) -> Any:
        rates = self._av.Codec(codec, "w").audio_rates
        rate = self.like.sample_rate
        if rates and rate not in rates:
            rate = min((each for each in rates if each >= rate), default=max(rates))
        sound = self._out.add_stream(codec, rate=rate, layout=layout)
        if codec != "flac":
            usual = self.like.bit_rate or _USUAL_BITS * min(self.like.channels, 2)
            sound.bit_rate = min(max(usual, _LEAST_BITS), _MOST_BITS * self.like.channels)
        return sound

    def write(self, block: NDArray[np.float32]) -> None:
        """Append ``[frame, channel]`` samples, full scale being [-1, 1]."""
        if not len(block):
            return
        rate = self.like.sample_rate
        audio = np.ascontiguousarray(np.clip(block, -1.0, 1.0).T)
        frame = self._av.AudioFrame.from_ndarray(audio, format="fltp", layout=self._sound.layout.name)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(self._begin * rate) + self._written
        self._written += len(block)
        try:
            self._copy_until(float(self._begin) + self._written / rate)
            for packet in self._sound.encode(frame):
                self._out.mux(packet)
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._error(error) from error

    def _others(self) -> Iterator[Any]:
        """Yield the packets of all streams that are copied, each with a time of decoding."""
        waiting: dict[int, list[Any]] = {index: [] for index in self._copies}
        streams = [self._source.container.streams[index] for index in self._copies]
        for packet in self._source.container.demux(streams) if streams else ():
            if not packet.size or packet.pts is None:
                continue
            early = waiting[packet.stream_index]
            early.append(packet)
            if packet.dts is not None:
                yield from _timed(early)
                early.clear()
        for early in waiting.values():
            yield from _timed(early)

    def _copy_until(self, seconds: float) -> None:
        while self._next is not None and float(self._next.dts * self._next.time_base) <= seconds:
            self._next.stream = self._copies[self._next.stream_index]
            self._out.mux(self._next)
            self._next = next(self._packets, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        try:
            for packet in self._sound.encode(None):
                self._out.mux(packet)
            self._copy_until(float("inf"))
            self._out.close()
            self._file.close()
            self._part.keep()
        except (self._av.error.FFmpegError, OSError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> InputError:
        reason = str(getattr(error, "strerror", None) or error).splitlines()[0].rstrip(". ")
        return InputError(
            f"{self.target} cannot be written ({reason}); free some disk space, or choose another format, "
            f"such as {self.target.stem}.mkv"
        )


def _timed(packets: list[Any]) -> list[Any]:
    """Give packets times of decoding before that of the last; Matroska stores none for the first ones."""
    last = packets[-1].dts if packets and packets[-1].dts is not None else None
    if last is None:
        last = min((packet.pts for packet in packets), default=0)
    for packet in reversed(packets):
        packet.dts = last
        last -= packet.duration or 1
    return packets


def _quietly(close: Any, errors: type[Exception]) -> Any:
    def run() -> None:
        with suppress(errors, OSError):
            close()

    return run
