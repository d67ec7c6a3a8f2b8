"""Read what phones and cameras write (MP4, MOV, WebM, Matroska, WMA, AAC, AMR) with FFmpeg, through PyAV.

libsndfile reads none of these. PyAV is optional (extra `media`). The format is told from the
first bytes, never guessed by FFmpeg. Lengths in headers only serve to notice that a file was cut short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.core.install import install_command

SOUND_SUFFIXES = (".m4a", ".m4b", ".aac", ".wma", ".amr", ".mka")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv")
MEDIA_SUFFIXES = SOUND_SUFFIXES + VIDEO_SUFFIXES

_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_DEMUXERS = {"mov": "MP4", "matroska": "Matroska", "asf": "WMA", "aac": "AAC", "amr": "AMR"}
_ENCRYPTED = ("enca", "drms", "aavd", "encv")
_INTEGERS = {"u8": (128.0, 128.0), "s16": (0.0, 2.0**15), "s32": (0.0, 2.0**31)}  # centre, full scale
_GAP_SECONDS = 0.03  # smaller differences of timestamps are rounding
_LONGEST_GAP_SECONDS = 3600.0
_TAGS = ("title", "copyright", "artist", "comment", "date", "album", "license", "genre")
_LONGEST_TAG = 4096


def demuxer(path: Path) -> str | None:
    """Return the name of FFmpeg's demuxer for a file; None for files that libsndfile reads."""
    with open(path, "rb") as file:
        start = file.read(12)
    if start[4:8] in _ATOMS:
        return "mov"
    if start[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if start[:4] == b"0&\xb2u":
        return "asf"
    if start[:5] == b"#!AMR":
        return "amr"
    if path.suffix.lower() == ".aac" or (start[:1] == b"\xff" and start[1:2] in (b"\xf1", b"\xf9")):
        return "aac"
    # Named like one of these, and damaged or something else.
    named = {".wma": "asf", ".amr": "amr", ".webm": "matroska", ".mkv": "matroska", ".mka": "matroska"}
    suffix = path.suffix.lower()
    plain = start[:4] in (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"riff")
    return None if plain or suffix not in MEDIA_SUFFIXES else named.get(suffix, "mov")


def require_av(path: Path) -> Any:
    """Return the module PyAV.

    Raises:
        InputError: It is not installed; the message says how to.
    """
    try:
        import av
    except ImportError:
        raise InputError(
            f"{path} needs PyAV, as libsndfile cannot read it; {install_command('media')}"
        ) from None
    return av


@dataclass(frozen=True)
class Found:
    """Properties of the sound in a media file.

    Attributes:
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        layout: FFmpeg's name for the positions of the channels.
        start: Time of the first sample in seconds.
        seconds: Length in seconds that the file gives; exact only after reading.
        codec: FFmpeg's name of the codec.
        bit_rate: Bits per second; None where it is unknown.
        video: Whether there is a moving picture too.
        tags: Title, artist and the like.
    """

    sample_rate: int
    channels: int
    layout: str
    start: Fraction
    seconds: float
    codec: str
    bit_rate: int | None
    video: bool
    tags: dict[str, str]


class MediaFile:
    """A context with an opened media file, to call either `find` or `blocks` once.

    Args:
        path: File.
        form: Name of the demuxer, from `demuxer`.

    Raises:
        InputError: PyAV is missing, or the file is damaged, encrypted, or has no sound.
    """

    def __init__(self, path: Path, form: str) -> None:
        self.path, self.format = path, _DEMUXERS[form]
        self._av = require_av(path)
        self._form = form

    def __enter__(self) -> MediaFile:
        self._file = open(self.path, "rb")
        try:
            self.container = self._av.open(self._file, format=self._form, metadata_errors="ignore")
            self.stream = self._sound()
        except self._av.error.FFmpegError as error:
            self._file.close()
            raise self._damaged(_reason(error)) from error
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()
        self._file.close()

    def find(self) -> Found:
        """Return the properties of the sound, from the headers and the first samples."""
        first = next(self._decoded(), None)
        if first is None:
            raise InputError(f"{self.path} holds no audio (0 samples); remove it or record it again")
        seconds = self._announced()
        if self._form in ("aac", "amr") or not seconds:
            seconds = self._counted()
        stream, tags = self.stream, self.container.metadata
        return Found(
            sample_rate=first.sample_rate,
            channels=len(first.layout.channels),
            layout=first.layout.name,
            start=_time(first),
            seconds=seconds,
            codec=stream.codec_context.name,
            bit_rate=stream.codec_context.bit_rate or None,
            video=any(map(is_moving, self.container.streams.video)),
            tags={name: tags[name][:_LONGEST_TAG] for name in _TAGS if tags.get(name)},
        )

    def blocks(self, block_frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield ``[frame, channel]`` blocks; where timestamps leave a gap, silence keeps the sound in step.

        Raises:
            InputError: The file is damaged or cut short, or its rate or channels change.
        """
        start: Fraction | None = None
        like: tuple[int, int] = (0, 0)
        count = 0
        waiting: list[NDArray[np.float32]] = []
        for frame in self._decoded():
            audio = _samples(frame)
            if start is None:
                start, like = _time(frame), (frame.sample_rate, audio.shape[1])
            if (frame.sample_rate, audio.shape[1]) != like:
                raise InputError(
                    f"{self.path} changes from {like[0]} Hz and {like[1]} channel(s) to "
                    f"{frame.sample_rate} Hz and {audio.shape[1]} after {count / like[0]:.2f} s; "
                    "separate the parts"
                )
            gap = 0
            if frame.pts is not None:
                gap = round((_time(frame) - start) * like[0]) - count
            if gap > _LONGEST_GAP_SECONDS * like[0]:
                raise self._damaged(f"its clock jumps by {gap / like[0]:.0f} s")
            if gap < -like[0]:  # the clock was set back: what follows is appended
                start = _time(frame) - Fraction(count, like[0])
            elif gap < -_GAP_SECONDS * like[0]:
                audio = audio[min(-gap, len(audio)) :]
            elif gap > _GAP_SECONDS * like[0]:
                for begin in range(0, gap, block_frames):
                    silence = np.zeros((min(block_frames, gap - begin), like[1]), np.float32)
                    waiting.append(silence)
                    count += len(silence)
                    yield from _whole_blocks(waiting, block_frames)
            waiting.append(audio)
            count += len(audio)
            yield from _whole_blocks(waiting, block_frames)
        if waiting and sum(map(len, waiting)):
            yield np.concatenate(waiting)
        self._require_whole()

    def _sound(self) -> Any:
        streams = self.container.streams
        if not streams.audio:
            what = "a video without sound" if streams.video else "a file without sound"
            raise InputError(f"{self.path} is {what}: there is nothing to enhance; leave it out")
        stream = streams.best("audio") or streams.audio[0]
        context = stream.codec_context
        if context is None or str(context.codec_tag).strip("\0 ") in _ENCRYPTED:
            raise InputError(
                f"{self.path} is encrypted, or of an encoding that FFmpeg does not know; give a file without "
                "copy protection"
            )
        return stream

    def _decoded(self) -> Iterator[Any]:
        """Yield decoded frames of the sound, and note when the last packet of all streams ends."""
        self._end = 0.0
        try:
            for packet in self.container.demux():
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._end = max(self._end, float(end))
                if packet.stream.index == self.stream.index:
                    yield from packet.decode()
        except self._av.error.FFmpegError as error:
            raise self._damaged(_reason(error)) from error

    def _announced(self) -> float:
        """Return the length in seconds in the header; 0 for none."""
        if self._form == "mov" and self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        return (self.container.duration or 0) / 1e6

    def _counted(self) -> float:
        """Return the length in seconds by the packets."""
        ticks = 0
        with (
            open(self.path, "rb") as file,
            self._av.open(file, format=self._form, metadata_errors="ignore") as container,
        ):
            for packet in container.demux(container.streams[self.stream.index]):
                ticks += packet.duration or 0
        return float(ticks * self.stream.time_base)

    def _require_whole(self) -> None:
        """Refuse a file whose packets end long before the length in its header."""
        announced = (self.container.duration or 0) / 1e6
        if self._form in ("aac", "amr"):  # estimated from the size
            return
        if self._end < announced - max(1.0, 0.02 * announced):
            raise self._damaged(f"{self._end:.1f} of {announced:.1f} s are there")

    def _damaged(self, detail: str) -> InputError:
        return InputError(f"{self.path} is cut short or damaged ({detail}); copy or record it again")


def is_moving(stream: Any) -> bool:
    """Return whether a video stream is more than the picture of an album."""
    return not int(getattr(stream, "disposition", 0)) & 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC


def has_video(path: Path) -> bool:
    """Return whether a file has a moving picture; where it cannot be read, whether its name says so."""
    try:
        form = demuxer(path)
        if form is None:
            return False
        with MediaFile(path, form) as media:
            return any(map(is_moving, media.container.streams.video))
    except (InputError, OSError):
        return path.suffix.lower() in VIDEO_SUFFIXES


def _whole_blocks(waiting: list[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of `size` from the waiting parts, and leave the rest waiting."""
    if sum(map(len, waiting)) < size:
        return
    audio = np.concatenate(waiting)
    waiting.clear()
    whole = len(audio) // size * size
    for begin in range(0, whole, size):
        yield audio[begin : begin + size]
    waiting.append(audio[whole:])


def _samples(frame: Any) -> NDArray[np.float32]:
    """Return ``[frame, channel]`` in [-1, 1]."""
    audio = frame.to_ndarray()
    audio = audio.T if frame.format.is_planar else audio.reshape(-1, len(frame.layout.channels))
    if frame.format.name.removesuffix("p") in _INTEGERS:
        centre, scale = _INTEGERS[frame.format.name.removesuffix("p")]
        audio = (audio.astype(np.float64) - centre) / scale
    return np.ascontiguousarray(audio, np.float32)


def _time(frame: Any) -> Fraction:
    return frame.pts * frame.time_base if frame.pts is not None else Fraction(0)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(". ")
