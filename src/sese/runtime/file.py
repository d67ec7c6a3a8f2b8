"""Enhance one file, and report on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from sese.audio.files import probe, read_blocks
from sese.audio.writer import open_writer
from sese.core.errors import InputError
from sese.core.files import is_null_device
from sese.runtime.arrays import HIGHEST_CHANNELS
from sese.runtime.artefact import Artefact
from sese.runtime.budget import Budget
from sese.runtime.limits import limits_of
from sese.runtime.noise import NoiseMeter
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import TRACE_SECONDS, Stream
from sese.runtime.trace import require_trace_path, write_trace


@dataclass(frozen=True)
class Report:
    """Report on an enhanced file.

    Attributes:
        input: Path of the input, or its URL.
        output: Path of the output, or its URL.
        seconds: Length of the audio in seconds.
        processing_seconds: Time that enhancing took, reading and writing included.
        real_time_factor: Processing time divided by the length of the audio.
        utilization: Mean share of compute used, in (0, 1].
        budget: Budget, as it was given.
        limited_to: Share of compute of the highest level that the limits allowed at the end; None if they
            allowed every level.
        max_rtf: Limit of a frame's time, as it was given; None for no limit.
        late_frames: Number of frames that took longer than `max_rtf` allows; None without it.
        lowered: Number of times that the highest level was lowered because of late frames; None without it.
        missed: Whether frames were late at the lowest level too; None without it.
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        clipped_samples: Number of samples beyond full scale that the encoding had to clip.
        noise_reduction_db: By how many dB the noise is lower, see `sese.runtime.noise`; None where the
            recording is too short or silent to tell.
        notes: What of the input is not in the output, such as markers; a line each.
    """

    input: str
    output: str
    seconds: float
    processing_seconds: float
    real_time_factor: float
    utilization: float
    budget: Budget
    limited_to: float | None
    max_rtf: float | None
    late_frames: int | None
    lowered: int | None
    missed: bool | None
    sample_rate: int
    channels: int
    clipped_samples: int
    noise_reduction_db: float | None = None
    notes: tuple[str, ...] = ()


def enhance_file(
    artefact: Artefact,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: EnhanceOptions,
    *,
    trace: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Report:
    """Enhance a file with a new stream; see `sese.runtime.enhancer.Enhancer.enhance_file`.

    Args:
        artefact: The model.
        source: Audio file to read.
        target: File to write.
        options: How to enhance.
        trace: File for the share of compute of each frame; None for none.
        force: Replace existing files.
        progress: Called with the seconds of audio read so far.

    Raises:
        InputError: A file or an option cannot be used.
    """
    started = perf_counter()
    source, target = Path(source), Path(target)
    require_separate(source, target)
    info = probe(source)
    if target.exists() and not force and not is_null_device(target):
        raise InputError(f"{target} exists; use force (--force) to replace it, or name another output")
    if trace is not None:
        require_trace_path(Path(trace), force)
        require_separate(source, Path(trace), "trace")
        require_separate(target, Path(trace), "trace", "output")
    if info.channels > HIGHEST_CHANNELS:
        raise InputError(f"{source} has {info.channels} channels; give a file with 1 to {HIGHEST_CHANNELS}")
    stream = Stream(
        artefact,
        options,
        info.sample_rate,
        info.channels,
        trace_seconds=TRACE_SECONDS if trace is None else None,
        latency="high",
    )
    read = 0
    meter = NoiseMeter(info.sample_rate)
    with open_writer(target, info) as writer:
        for block in read_blocks(source, info.sample_rate):
            enhanced = stream.feed(block.T).T
            writer.write(enhanced)
            meter.add(block, enhanced)
            read += len(block)
            if progress is not None:
                progress(read / info.sample_rate)
        enhanced = stream.flush().T
        writer.write(enhanced)
        meter.add(enhanced[:0], enhanced)
        if trace is not None:
            write_trace(Path(trace), stream.trace, artefact.card, stream.speech_probability)
    spent = perf_counter() - started
    return Report(
        input=str(source),
        output=str(target),
        seconds=read / info.sample_rate,
        processing_seconds=spent,
        real_time_factor=spent * info.sample_rate / read,
        utilization=stream.utilization,
        budget=stream.budget,
        sample_rate=info.sample_rate,
        channels=info.channels,
        clipped_samples=writer.clipped_samples,
        noise_reduction_db=meter.reduction_db(),
        notes=tuple(writer.notes),
        **limits_of(stream),
    )


def require_separate(source: Path, target: Path, kind: str = "output", of: str = "input") -> None:
    """Raise InputError where a file to write is another file of the same run, by its name or a link.

    Args:
        source: File that is read, or another one that is written.
        target: File to write.
        kind: Word for `target` in the message.
        of: Word for `source` in the message.
    """
    same = os.path.realpath(source) == os.path.realpath(target)
    if same or (source.exists() and target.exists() and os.path.samefile(source, target)):
        never = ", which is never overwritten" if of == "input" else ""
        raise InputError(f"{kind} {target} is the {of} itself{never}; name another {kind}")
