"""Write audio files, whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray

from sese.audio.bit_rate import bit_rate_mode, compression_level
from sese.audio.carried import Carried, add_carried, read_carried
from sese.audio.files import FORMAT_OF, AudioInfo, native_name
from sese.audio.media import MEDIA_SUFFIXES, VIDEO_SUFFIXES
from sese.audio.resample import Resampler
from sese.core.errors import InputError
from sese.core.files import Part, is_null_device, unwritable

if TYPE_CHECKING:
    from sese.audio.video import VideoWriter

# All other subtypes store integers (or values made from them), so samples beyond full scale are clipped.
_UNCLIPPED = frozenset({"FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III"})

# Subtypes that other formats take with any number of channels, where libsndfile says so. For the rest it
# says so too often.
_PORTABLE = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS"}
)

_RELATIVES = {"WAV": ("WAVEX", "RF64")}  # formats with the same extension

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
LIMIT = (1 << 32) - (1 << 24)
"""Largest number of bytes of audio for formats whose lengths have 32 bits, with room for other chunks."""

_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}


class AtomicWriter:
    """A context that writes an audio file beside its destination and renames it when it is complete.

    The destination appears whole or not at all, see `sese.core.files.Part`.

    Args:
        target: Destination. An existing file is replaced, a missing folder is created.
        like: Sample rate, channels, tags, format and subtype to write. A destination with another
            extension gets the format of that extension, and the same subtype where that is safe, else the
            usual one of the format.

    Attributes:
        clipped_samples: Number of samples beyond [-1, 1] that were clipped for an integer subtype.
        notes: What of the source is not in the output, and how its length was found, a line each.

    Raises:
        InputError: The destination cannot be written, cannot hold this format, or the disk is full.
    """

    def __init__(self, target: str | os.PathLike[str], like: AudioInfo) -> None:
        self.target = Path(target)
        self.like = like
        self.format, self.subtype = encoding(self.target, like)
        self.format = _large_enough(self.target, self.format, self.subtype, like)
        rate = like.sample_rate
        if self.subtype == "OPUS" and rate not in OPUS_RATES:
            rate = min((each for each in OPUS_RATES if each >= rate), default=OPUS_RATES[-1])
        self._resampler = Resampler(like.sample_rate, rate, like.channels)
        self.clipped_samples = 0
        self._frames = 0
        self._carried = read_carried(like.path) if like.path.is_file() else Carried()
        self._tags = like.tags | self._carried.tags()
        self.notes = [*like.notes, *self._carried.notes(self.format, self._tags)]

    def __enter__(self) -> AtomicWriter:
        folder = Path(os.path.realpath(self.target)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.target} cannot be written: the folder {folder} cannot be created "
                f"({error.strerror}); choose another output"
            ) from error
        if self.target.is_dir():
            raise InputError(f"{self.target} is a folder; name a file in it")
        try:
            self._part = Part(self.target)
        except OSError as error:
            raise unwritable(self.target, error) from error
        like = self.like
        try:
            level = compression_level(self.subtype, like.sample_rate, like.channels, like.bit_rate)
            self._file = soundfile.SoundFile(
                native_name(self._part.path),
                "w",
                self._resampler.target_hz,
                self.like.channels,
                self.subtype,
                format=self.format,
                compression_level=level,
                bitrate_mode=bit_rate_mode(self.subtype, like.bit_rate),
            )
            tags = {} if self._carried.fits(self.format) else self._tags
            for tag, text in tags.items():
                with suppress(soundfile.LibsndfileError):  # not every format has every tag
                    setattr(self._file, tag, text)
        except (soundfile.LibsndfileError, ValueError, OSError) as error:
            self._part.drop()
            raise self._open_error(error) from error
        except BaseException:  # interrupted before the context was entered
            self._part.drop()
            raise
        return self

    def write(self, block: NDArray[np.float32]) -> None:
        """Append ``[frame, channel]`` samples, full scale being [-1, 1]."""
        if self.subtype not in _UNCLIPPED:
            beyond = np.count_nonzero(np.abs(block) > 1.0)
            if beyond:
                self.clipped_samples += int(beyond)
                block = np.clip(block, -1.0, 1.0)
        self._append(self._resampler.feed(block))

    def _append(self, block: NDArray[np.float32]) -> None:
        try:
            self._file.write(block)
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            raise self._write_error(error) from error
        self._frames += len(block)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            try:
                with suppress(soundfile.LibsndfileError):
                    self._file.close()
            finally:
                self._part.drop()

    def _finish(self) -> None:
        if self._resampler.source_hz != self._resampler.target_hz:
            self._append(self._resampler.flush())
        try:
            self._file.close()
            # Encoders hide some write errors: check that everything arrived. (Block codecs round up.)
            if soundfile.info(native_name(self._part.path)).frames < self._frames:
                raise OSError("the file is shorter than what was written")
            if self._carried.fits(self.format):
                add_carried(self._part.path, self.format, self._carried)
            self._part.keep()
        except (soundfile.LibsndfileError, OSError) as error:
            raise self._write_error(error) from error

    def _open_error(self, error: Exception) -> InputError:
        return InputError(
            f"{self.target} cannot be written as {self.format} {self.subtype} with {self.like.channels} "
            f"channel(s) at {self.like.sample_rate} Hz ({_reason(error)}); choose another output, "
            f"such as {_another(self.target)}"
        )

    def _write_error(self, error: Exception) -> InputError:
        return InputError(
            f"{self.target} could not be written to its end ({_reason(error)}: is the disk full?); "
            "free some disk space or choose another folder"
        )


def _large_enough(target: Path, name: str, subtype: str, like: AudioInfo) -> str:
    """Return a format whose lengths have 64 bits where the audio needs one; chosen before any work is done.

    Raises:
        InputError: The extension has no such format.
    """
    size = like.frames * like.channels * _BYTES.get(subtype, 4)
    if name not in ("WAV", "WAVEX", "AIFF") or size <= LIMIT:
        return name
    if name != "AIFF" and soundfile.check_format("RF64", subtype):
        return "RF64"
    raise InputError(
        f"{target} would be larger than 4 GiB, which {name} {subtype} cannot hold; choose another output, "
        f"such as {target.stem}.w64"
    )


class NullWriter:
    """A context that counts clipped samples as `AtomicWriter` does, and writes nothing.

    Args:
        like: Format and subtype of the audio.
    """

    def __init__(self, like: AudioInfo) -> None:
        self.subtype = like.subtype
        self.clipped_samples = 0
        self.notes = list(like.notes)

    def __enter__(self) -> NullWriter:
        return self

    def __exit__(self, *_: object) -> None: ...

    def write(self, block: NDArray[np.float32]) -> None:
        """Count the samples of ``[frame, channel]`` that a file would have to clip."""
        if self.subtype not in _UNCLIPPED:
            self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1.0))


def open_writer(target: Path, like: AudioInfo) -> AtomicWriter | NullWriter | VideoWriter:
    """Return a writer for a file, for a video with other sound, or for the null device."""
    if is_null_device(target):
        return NullWriter(like)
    if like.video and target.suffix.lower() in VIDEO_SUFFIXES:
        from sese.audio.video import VideoWriter

        return VideoWriter(target, like)
    return AtomicWriter(target, like)


def encoding(target: Path, like: AudioInfo) -> tuple[str, str]:
    """Return the libsndfile format and subtype in which `target` keeps as much of `like` as it can.

    Where both have the same extension and the input's format fits it, format and codec stay: Vorbis in an
    ``.opus`` file stays Vorbis.

    Raises:
        InputError: The extension is unknown, or the format can be read but not written.
    """
    kind = target.suffix.lower()
    usual = FORMAT_OF.get(kind, like.format)
    alike = like.format in (usual, *_RELATIVES.get(usual, ()))  # else the input's extension is wrong
    if kind == like.path.suffix.lower() and alike and like.format in soundfile.available_formats():
        name, subtype = like.format, like.subtype
    elif kind in MEDIA_SUFFIXES:
        what = "needs a video with sound" if kind in VIDEO_SUFFIXES else "is written as WAV or FLAC"
        raise InputError(f"{target} {what}; choose another output, such as {target.stem}.wav")
    elif kind not in FORMAT_OF:
        known = " ".join(sorted(FORMAT_OF))
        raise InputError(
            f"{target} has the extension {kind!r}, which is not an audio format; use one of {known}"
        )
    else:
        name = usual
        kept = like.subtype in _PORTABLE and soundfile.check_format(name, like.subtype)
        keep = like.subtype if kept else soundfile.default_subtype(name)
        subtype = "OPUS" if kind == ".opus" else keep
    if not soundfile.check_format(name, subtype):
        raise InputError(
            f"{target} cannot be written: {name} {subtype} can be read but not written; "
            f"choose another output, such as {_another(target)}"
        )
    return name, subtype


def _another(target: Path) -> str:
    """Return a file name with another format that can hold the audio."""
    return target.stem + (".wav" if target.suffix.lower() not in (".wav", ".wave") else ".flac")


def _reason(error: Exception) -> str:
    return (
        str(getattr(error, "error_string", None) or error or type(error).__name__)
        .splitlines()[0]
        .rstrip(". ")
    )
