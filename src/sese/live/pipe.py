"""Enhance audio from one pipe to another.

One thread reads what is available (it never waits to fill a block), enhances it and writes it. So a slow
reader slows the writer down, and memory does not grow with the length of the stream.
"""

from __future__ import annotations

import errno
import os
import select
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.live.model import Report, report
from sese.live.pcm import Encoding, find_encoding
from sese.live.signals import StopSignals
from sese.live.wav import Header, Trailer, is_wav, make_header, read_header
from sese.runtime.framing import HIGHEST_CHANNELS
from sese.runtime.rates import require_rate
from sese.runtime.stream import Stream

BLOCK_BYTES = 1 << 16  # size of a pipe on Linux
WAV = "wav"


class ReaderGone(Exception):
    """The program that reads the output has stopped."""


@dataclass(frozen=True)
class Layout:
    """Form of the bytes of a stream, in and out.

    Attributes:
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        encoding: Encoding of the input.
        header: WAV header of the input; None for raw samples.
        out_encoding: Encoding of the output.
        out_header: WAV header of the output; None for raw samples.
    """

    sample_rate: int
    channels: int
    encoding: Encoding
    header: Header | None
    out_encoding: Encoding
    out_header: Header | None


@dataclass(frozen=True)
class Piped:
    """Report on a stream between pipes.

    Attributes:
        report: Report on the stream itself.
        clipped_samples: Number of samples beyond full scale that were clipped for an integer encoding.
        trailing_bytes: Number of bytes at the end of the input that are less than a frame.
        missing_bytes: Number of bytes that the header announced and that did not come.
        dropped: Titles of chunks of a WAV stream that are not in the output, such as tags and markers.
    """

    report: Report
    clipped_samples: int
    trailing_bytes: int
    missing_bytes: int
    dropped: tuple[str, ...] = ()


class Input:
    """Read the bytes of a file descriptor, until its end or a signal to stop."""

    def __init__(self, descriptor: int, stop: StopSignals) -> None:
        self._descriptor, self._stop = descriptor, stop

    def some(self, size: int) -> bytes:
        """Return the bytes that are available, 1 to `size`; none at the end."""
        while self._stop.wait(self._descriptor):
            try:
                return os.read(self._descriptor, size)
            except BlockingIOError:  # a descriptor that does not block, emptied by another reader
                continue
        return b""

    def exactly(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end."""
        data = b""
        while len(data) < size and (more := self.some(size - len(data))):
            data += more
        return data


def read_layout(
    source: Input, form: str | None, sample_rate: int | None, channels: int | None, out_form: str | None
) -> tuple[Layout, bytes]:
    """Read the beginning of a stream and return its layout.

    Args:
        source: The stream, at its beginning.
        form: Name of an encoding for raw samples; None or ``wav`` for WAV.
        sample_rate: Sample rate in Hz; None takes it from the WAV header.
        channels: Number of channels; None takes it from the WAV header, or 1 for raw samples.
        out_form: Name of an encoding for raw output, or ``wav``; None for the form of the input.

    Returns:
        The layout, and the bytes of samples that were already read.

    Raises:
        InputError: A value cannot be used, or contradicts the header.
    """
    raw = form is not None and form != WAV
    encoding = find_encoding(form) if raw and form else None
    if out_form is not None and out_form != WAV:
        find_encoding(out_form)
    if raw:
        if sample_rate is None:
            raise InputError(f"--format {form} has no sample rate in it; give one with --rate, in Hz")
        require_rate(sample_rate)
        _require_channels(1 if channels is None else channels)
    start = source.exactly(12)
    header = None
    if encoding is not None and sample_rate is not None:
        if is_wav(start):
            raise InputError(f"stdin is WAV, not raw {form}; leave out --format, --rate and --channels")
        channels = 1 if channels is None else channels
    elif is_wav(start):
        header, start = read_header(start, source.exactly), b""
        for option, given, found in (
            ("--rate", sample_rate, header.sample_rate),
            ("--channels", channels, header.channels),
        ):
            if given is not None and given != found:
                raise InputError(f"{option} is {given}, but stdin is WAV with {found}; leave the option out")
        encoding, sample_rate, channels = header.encoding, header.sample_rate, header.channels
        require_rate(sample_rate)
        _require_channels(channels)
    elif not start:
        raise InputError("stdin was empty (0 bytes); check the program before sese")
    else:
        raise InputError("stdin is not WAV; for raw samples give --format s16le, --rate and --channels")
    out_encoding, out_header = encoding, None
    if out_form == WAV or (out_form is None and header is not None):
        out_header = make_header(encoding, sample_rate, channels) if header is None else header.whole_frames()
    elif out_form is not None:
        out_encoding = find_encoding(out_form)
    return Layout(sample_rate, channels, encoding, header, out_encoding, out_header), start


def _require_channels(channels: int) -> None:
    if not 1 <= channels <= HIGHEST_CHANNELS:
        raise InputError(f"stdin has {channels} channels; give 1 to {HIGHEST_CHANNELS}")


def enhance_pipe(source: Input, target: int, layout: Layout, start: bytes, stream: Stream) -> Piped:
    """Enhance a stream to its end, or until a signal to stop; in both cases all that was read is written.

    Args:
        source: Input.
        target: File descriptor to write to.
        layout: Layout from `read_layout`.
        start: Bytes from `read_layout`.
        stream: Stream with the rate and channels of the layout.

    Raises:
        InputError: Samples are NaN or infinite (what came before them is written), or the output cannot be
            written.
        ReaderGone: The program that reads the output has stopped.
    """
    sink = _Output(target, layout)
    frame = layout.channels * layout.encoding.width
    left = None if layout.header is None else layout.header.length
    pending = start
    fed = 0
    while True:
        whole = len(pending) // frame * frame
        if whole:
            audio = layout.encoding.decode(pending[:whole], layout.channels)
            pending = pending[whole:]
            try:
                enhanced = stream.feed(audio.T)
            except InputError:  # the stream took nothing of this block
                good = int(np.isfinite(audio).all(1).argmin())
                sink.write(stream.feed(audio[:good].T))
                sink.write(stream.flush())
                raise
            sink.write(enhanced)
            fed += len(audio)
        more = source.some(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left))
        if not more:
            break
        pending += more
        if left is not None:
            left -= len(more)
    sink.write(stream.flush())
    if left == 0:
        sink.pad()
    dropped = [] if layout.header is None else [*layout.header.others]
    if layout.header is not None and left == 0:  # chunks after the audio; their writer is not stopped
        trailer = Trailer(bool((layout.header.length or 0) % 2))
        while more := source.some(BLOCK_BYTES):
            trailer.feed(more)
        dropped += trailer.titles
    words = tuple(sorted(set(dropped)))
    return Piped(report(stream, fed), sink.clipped_samples, len(pending), left or 0, words)


class _Output:
    """Write encoded samples to a file descriptor."""

    def __init__(self, descriptor: int, layout: Layout) -> None:
        self._descriptor, self._layout = descriptor, layout
        self.clipped_samples = 0
        if layout.out_header is not None:
            self._write(layout.out_header.write())

    def write(self, audio: NDArray[np.float32]) -> None:
        """Write ``[channel, time]``, and return when all of it is written."""
        data, clipped = self._layout.out_encoding.encode(audio.T)
        self.clipped_samples += clipped
        self._write(data)

    def pad(self) -> None:
        """Write the byte that follows an odd number of bytes in a WAV file of known length."""
        header = self._layout.out_header
        if header is not None and (header.length or 0) % 2:
            self._write(b"\0")

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another program made the descriptor non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                # Windows calls a pipe without a reader an invalid argument.
                if error.errno in (errno.EPIPE, errno.ESHUTDOWN) or (
                    os.name == "nt" and error.errno == errno.EINVAL
                ):
                    raise ReaderGone from error
                raise InputError(
                    f"stdout could not be written to its end ({error.strerror}); "
                    "free some disk space or choose another output"
                ) from error
