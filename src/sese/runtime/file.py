"""Enhancing one file, and the report of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from sese.audio.files import probe, read_blocks
from sese.audio.writer import AtomicWriter
from sese.core.errors import InputError
from sese.runtime.budget import Budget
from sese.runtime.limits import limits_of
from sese.runtime.stream import Stream
from sese.runtime.trace import require_trace_path, write_trace


@dataclass(frozen=True)
class Report:
    """What was done to a file.

    Attributes:
        seconds: Length of the audio.
        utilization: Mean share of the scalable compute used, in (0, 1].
        limited_to: Utilization of the dearest level that the limits allowed at the end; None if they allowed
            every level.
        late_frames: Frames that took longer than `max_rtf` allows; None without it.
        lowered: Times that the highest level was lowered for that; None without it.
        missed: Whether frames were late at the lowest level too; None without it.
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


def enhance_file(
    make: Callable[[int, int], Stream],
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    trace: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Report:
    """Enhance a file with a new stream; see `sese.runtime.enhancer.Enhancer.enhance_file`.

    Args:
        make: Makes the stream for a sample rate in Hz and a number of channels.
        source: Audio file.
        target: Where to write.
        trace: Where to write what each frame used; None for nowhere.
        force: Replace existing files.
        progress: Called with the seconds of audio read so far.

    Raises:
        InputError: A file cannot be used, or `make` raises it.
    """
    started = perf_counter()
    source, target = Path(source), Path(target)
    require_separate(source, target)
    info = probe(source)
    if target.exists() and not force:
        raise InputError(f"{target} exists; use force (--force) to replace it, or name another output")
    if trace is not None:
        require_trace_path(Path(trace), force)
        require_separate(source, Path(trace), "trace")
        require_separate(target, Path(trace), "trace", "output")
    stream = make(info.sample_rate, info.channels)
    read = 0
    with AtomicWriter(target, info) as writer:
        for block in read_blocks(source, info.sample_rate):
            writer.write(stream.feed(block.T).T)
            read += len(block)
            if progress is not None:
                progress(read / info.sample_rate)
        writer.write(stream.flush().T)
        if trace is not None:
            write_trace(Path(trace), stream.trace, stream.artefact.card)
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
        **limits_of(stream),
    )


def require_separate(source: Path, target: Path, kind: str = "output", of: str = "input") -> None:
    """Raise InputError when a file to write is one that is read, or is written besides, also by links.

    Args:
        source: What is read, or written besides.
        target: What is to be written.
        kind: What to call `target`.
        of: What to call `source`.
    """
    same = os.path.realpath(source) == os.path.realpath(target)
    if same or (source.exists() and target.exists() and os.path.samefile(source, target)):
        never = ", which is never overwritten" if of == "input" else ""
        raise InputError(f"{kind} {target} is the {of} itself{never}; name another {kind}")
