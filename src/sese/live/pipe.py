"""Audio from one pipe to another through a model.

One thread reads what is there (never waiting to fill a block), enhances it and writes it, so that a slow
reader holds back the writer, and memory does not grow with the length of the stream.
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
from sese.live.wav import Header, is_wav, make_header, read_header
from sese.runtime.framing import HIGHEST_CHANNELS
from sese.runtime.rates import require_rate
from sese.runtime.stream import Stream

BLOCK_BYTES = 1 << 16  # what a pipe holds on Linux
WAV = "wav"


class ReaderGone(Exception):
    """Nobody reads what is written."""


@dataclass(frozen=True)
class Layout:
    """How the bytes of a stream are to be read and written.

    Attributes:
        encoding: Of what is read.
        header: Of what is read; None for raw samples.
        out_encoding: Of what is written.
        out_header: Of what is written; None for raw samples.
    """

    sample_rate: int
    channels: int
    encoding: Encoding
    header: Header | None
    out_encoding: Encoding
    out_header: Header | None


@dataclass(frozen=True)
class Piped:
    """What was done.

    Attributes:
        clipped_samples: Samples out that were beyond full scale and clipped for an integer encoding.
        trailing_bytes: Bytes at the end of the input that made no whole frame.
        missing_bytes: Bytes that the header announced and that did not come.
    """

    report: Report
    clipped_samples: int
    trailing_bytes: int
    missing_bytes: int


class Input:
    """The bytes of a file descriptor, until its end or a signal to stop."""

    def __init__(self, descriptor: int, stop: StopSignals) -> None:
        self._descriptor, self._stop = descriptor, stop

    def some(self, size: int) -> bytes:
        """What is there, at least a byte and at most `size`; nothing at the end."""
        while self._stop.wait(self._descriptor):
            try:
                return os.read(self._descriptor, size)
            except BlockingIOError:  # a descriptor that does not wait, taken by another reader meanwhile
                continue
        return b""

    def exactly(self, size: int) -> bytes:
        """So many bytes, fewer at the end."""
        data = b""
        while len(data) < size and (more := self.some(size - len(data))):
            data += more
        return data


def read_layout(
    source: Input, form: str | None, sample_rate: int | None, channels: int | None, out_form: str | None
) -> tuple[Layout, bytes]:
    """Find out what a stream holds.

    Args:
        source: The stream, at its beginning.
        form: Name of an encoding for raw samples; None or ``wav`` for WAV.
        sample_rate: In Hz; None: as the WAV header says.
        channels: None: as the WAV header says, 1 for raw samples.
        out_form: Name of an encoding for raw samples out, or ``wav``; None: as what comes in.

    Returns:
        The layout, and the samples' bytes that were read on the way.

    Raises:
        InputError: Something cannot be used, or what is given contradicts the header.
    """
    raw = form is not None and form != WAV
    encoding = find_encoding(form) if raw and form else None
    if out_form is not None and out_form != WAV:
        find_encoding(out_form)
    if raw:
        if sample_rate is None:
            raise InputError(
                f"--format {form} says nothing about the sample rate; give it with --rate, in Hz"
            )
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
        raise InputError("stdin held nothing (0 bytes); is the program before sese working?")
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
        raise InputError(f"stdin is said to have {channels} channels; give 1 to {HIGHEST_CHANNELS}")


def enhance_pipe(source: Input, target: int, layout: Layout, start: bytes, stream: Stream) -> Piped:
    """Enhance a stream to its end, or until it is told to stop; what was read is written in either case.

    Args:
        source: Where to read.
        target: File descriptor to write to.
        layout: From `read_layout`.
        start: From there too.
        stream: Of the layout's rate and channels.

    Raises:
        InputError: Samples are NaN or infinite (the blocks before them are written), or the output cannot be
            written.
        ReaderGone: Nobody reads the output.
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
            except InputError:
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
    while left == 0 and source.some(
        BLOCK_BYTES
    ):  # chunks behind the audio, whose writer is not to be stopped
        pass
    return Piped(report(stream, fed), sink.clipped_samples, len(pending), left or 0)


class _Output:
    """Encoded samples into a file descriptor."""

    def __init__(self, descriptor: int, layout: Layout) -> None:
        self._descriptor, self._layout = descriptor, layout
        self.clipped_samples = 0
        if layout.out_header is not None:
            self._write(layout.out_header.write())

    def write(self, audio: NDArray[np.float32]) -> None:
        """Write ``[channel, time]``, and return when all of it is taken."""
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
            except BlockingIOError:  # another program made the descriptor one that does not wait
                select.select([], [self._descriptor], [])
            except OSError as error:
                # Windows calls a pipe without a reader an invalid argument.
                if error.errno in (errno.EPIPE, errno.ESHUTDOWN) or (
                    os.name == "nt" and error.errno == errno.EINVAL
                ):
                    raise ReaderGone from error
                raise InputError(
                    f"stdout could not be written to its end ({error.strerror}); "
                    "make space or choose another place"
                ) from error
