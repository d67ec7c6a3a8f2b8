"""Read audio files: their properties, and their samples block by block."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sese.audio.bit_rate import measure
from sese.audio.containers import Damaged, View, sections
from sese.audio.containers.chunks import UNKNOWN
from sese.audio.media import MEDIA_SUFFIXES, MediaFile, demuxer
from sese.core.errors import InputError

LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 192_000
FORMAT_OF = {  # libsndfile's name for the format of each extension
    ".wav": "WAV", ".wave": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".oga": "OGG", ".opus": "OGG",
    ".mp3": "MP3", ".aif": "AIFF", ".aiff": "AIFF", ".aifc": "AIFF", ".au": "AU", ".snd": "AU",
    ".caf": "CAF", ".w64": "W64", ".rf64": "RF64", ".voc": "VOC", ".sph": "NIST",
}  # fmt: skip
READABLE = frozenset(FORMAT_OF) | frozenset(MEDIA_SUFFIXES)
"""Extensions of audio files and of videos; those of `sese.audio.media` need PyAV."""

UNREADABLE = frozenset({
    ".aax", ".ac3", ".ape", ".asf", ".avi", ".dff", ".dsf", ".dts", ".dv", ".flv", ".gsm", ".m2ts", ".m4p",
    ".mp2", ".mpc", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".pcm", ".ra", ".rm", ".shn", ".spx", ".tak",
    ".tta", ".vob", ".wmv", ".wv",
})  # fmt: skip
"""Extensions of audio files and videos that no reader here takes: they are named, not passed over."""

FORMATS_THAT_WORK = "give WAV, FLAC, OGG, MP3, M4A or MP4"

# libsndfile reads a file whose data chunk is cut short without an error, but notes it in its log.
_CUT_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_COUNTLESS = 1 << 62  # libsndfile's number of samples where it does not know it


@dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file.

    Attributes:
        path: Path of the file.
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        frames: Number of samples of each channel.
        format: Format, in libsndfile's words.
        subtype: Encoding of a sample, in libsndfile's words.
        tags: Title, artist and the like.
        video: Whether it is a video with sound.
        bit_rate: Bits per second of a lossy encoding; None where it is unknown.
        notes: What a user should know about how the file was read, a line each.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    tags: dict[str, str] = field(default_factory=dict)
    video: bool = False
    bit_rate: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Return the properties of an audio file, without reading its samples.

    Raises:
        InputError: The file is missing, not a file, empty, not audio, cut short, holds no samples, or has a
            sample rate outside 8 to 192 kHz.
    """
    path = Path(path)
    _require_readable(path)
    form = demuxer(path)
    if form is not None:
        info = _probe_media(path, form)
    else:
        with _Parts(path) as parts:
            info = parts.info()
    if info.frames == 0:
        raise InputError(f"{path} holds no audio (0 samples); remove it or record it again")
    if not LOWEST_RATE_HZ <= info.sample_rate <= HIGHEST_RATE_HZ:
        raise InputError(
            f"{path} has a sample rate of {info.sample_rate} Hz, outside {LOWEST_RATE_HZ} to "
            f"{HIGHEST_RATE_HZ} Hz; resample it first"
        )
    return info


def read_blocks(path: str | os.PathLike[str], block_frames: int) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of a file as ``[frame, channel]`` blocks of at most `block_frames` frames.

    Integer files are scaled to [-1, 1). Only one block is held in memory. An Ogg file that was cut off
    looks like a whole one, and is read to its end.

    Raises:
        InputError: The file cannot be opened (see `probe`), ends too early, or holds NaN or infinity.
    """
    path = Path(path)
    _require_readable(path)
    count = 0
    form = demuxer(path)
    if form is not None:
        with MediaFile(path, form) as media:
            for block in media.blocks(block_frames):
                require_finite(block, str(path), count, media.stream.codec_context.sample_rate)
                count += len(block)
                yield block
        return
    with _Parts(path) as parts:
        for file in parts.files:
            # Between reads soundfile seeks to its present position, which makes MP3 and Opus decoders lose
            # samples. It does not seek in a file that it believes not to be seekable.
            file.seekable = lambda: False
            begin = count
            while True:
                try:
                    block = file.read(block_frames, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise _truncated(path, f"after {count} samples: {error.error_string}") from error
                if not len(block):
                    break
                require_finite(block, str(path), count, file.samplerate)
                count += len(block)
                yield block
            expected = file.frames if file.frames < _COUNTLESS else 0
            if count - begin < expected - _SPARE_FRAMES.get(file.format, 0):
                raise _truncated(path, f"{count - begin} of {expected} samples are there")


def read_audio(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], int]:
    """Return all samples of a file as ``[frame, channel]``, and the sample rate in Hz.

    Raises:
        InputError: The file cannot be read (see `probe` and `read_blocks`).
    """
    info = probe(path)
    return np.concatenate(list(read_blocks(path, 1 << 20))), info.sample_rate


def unreadable(path: Path | str) -> str:
    """Return the error for a file with an extension of `UNREADABLE`."""
    return f"{path} is of a format that cannot be read ({Path(path).suffix}); {FORMATS_THAT_WORK}"


def all_finite(values: NDArray[np.floating]) -> bool:
    """Return whether no value is NaN or infinity.

    Example:
        >>> all_finite(np.array([1.0, 3e38], np.float32)), all_finite(np.array([1.0, np.nan]))
        (True, False)
    """
    # The sum of the squares is finite only if all values are, and takes a third of the time for a frame.
    return math.isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def require_finite(block: NDArray[np.floating], name: str, start: int, sample_rate: int) -> None:
    """Raise InputError where ``[frame, channel]`` audio holds NaN or infinity, and say where.

    Args:
        block: Samples.
        name: Name of the audio in the message.
        start: Position of the first frame of the block in the whole signal.
        sample_rate: Sample rate in Hz, for the position in seconds.
    """
    if all_finite(block):
        return
    frame, channel = (int(index) for index in np.argwhere(~np.isfinite(block))[0])
    position = start + frame
    raise InputError(
        f"{name} holds {block[frame, channel]} at sample {position} ({position / sample_rate:.3f} s), "
        f"channel {channel}; replace NaN and infinity before enhancing"
    )


def native_name(path: Path) -> str | bytes:
    """Return a path as soundfile takes it: on Linux as bytes, as a file name need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _probe_media(path: Path, form: str) -> AudioInfo:
    with MediaFile(path, form) as media:
        found = media.find()
        return AudioInfo(
            path=path,
            sample_rate=found.sample_rate,
            channels=found.channels,
            frames=max(1, round(found.seconds * found.sample_rate)),
            format=media.format,
            subtype=found.codec.upper(),
            tags=found.tags,
            video=found.video,
            bit_rate=found.bit_rate,
        )


# An MP3 decoder may lose a frame at the beginning, which refers to bytes before it.
_SPARE_FRAMES = {"MP3": 2 * 1152}


class _Parts:
    """A context with the opened file, or the files that were joined in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[soundfile.SoundFile] = []
        self._notes: list[str] = []

    def __enter__(self) -> _Parts:
        with ExitStack() as stack:
            try:
                with open(self.path, "rb") as file:
                    found = sections(file)
                if found is None:
                    self.files.append(stack.enter_context(soundfile.SoundFile(native_name(self.path))))
                for section in found or ():
                    view = stack.enter_context(View(open(self.path, "rb"), section))
                    self.files.append(stack.enter_context(soundfile.SoundFile(view)))
                    self._notes += [section.note] * bool(section.note)
            except Damaged as error:
                raise _truncated(self.path, str(error)) from error
            # TypeError: soundfile expects no header in `.raw`
            except (soundfile.LibsndfileError, TypeError) as error:
                reason = getattr(error, "error_string", "no header").rstrip(". ")
                raise InputError(
                    f"{self.path} is damaged or not audio that can be read ({reason}); {FORMATS_THAT_WORK}"
                ) from error
            except OSError as error:
                raise InputError(
                    f"{self.path} cannot be read ({error.strerror or error}); copy it to another place"
                ) from error
            self._require_alike()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def info(self) -> AudioInfo:
        """Return the properties of all files together."""
        first = self.files[0]
        for file in self.files:
            cut = _CUT_SHORT.search(file.extra_info)
            if cut and int(cut[2]) < int(cut[1]) < UNKNOWN:
                raise _truncated(self.path, f"{cut[2]} of {cut[1]} bytes of audio are there")
        frames = sum(file.frames for file in self.files)
        return AudioInfo(
            path=self.path,
            sample_rate=first.samplerate,
            channels=first.channels,
            frames=frames,
            format=first.format,
            subtype=first.subtype,
            tags=first.copy_metadata(),
            bit_rate=measure(self.path, frames / first.samplerate, first.subtype),
            notes=tuple(self._notes),
        )

    def _require_alike(self) -> None:
        first = self.files[0]
        for number, file in enumerate(self.files[1:], start=2):
            if (file.samplerate, file.channels) != (first.samplerate, first.channels):
                raise InputError(
                    f"{self.path} was joined from files with different sample rates or channels (the first: "
                    f"{first.samplerate} Hz, {first.channels}; number {number}: {file.samplerate} Hz, "
                    f"{file.channels}); separate them"
                )


def _require_readable(path: Path) -> None:
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder, not an audio file; name a file in it")
    if not os.path.exists(path):  # false for impossible names too, and in folders without access
        raise InputError(f"{path} does not exist; check the name")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file; save the audio to a file first")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read (permission denied); change its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is an empty file (0 bytes); remove it or copy it again")


def _truncated(path: Path, detail: str) -> InputError:
    return InputError(f"{path} is cut short or damaged ({detail.rstrip('. ')}); copy or record it again")
