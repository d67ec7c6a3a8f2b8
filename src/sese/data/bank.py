"""Banks: all recordings of one kind, decoded once into one array of 16-bit samples.

Decoding compressed audio for every example would take much longer than mixing it. `load_bank` decodes each
file once and writes the samples to a cache file, which it maps into memory. A second run then starts within
milliseconds, and processes on one machine share the memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from sese.audio.files import read_audio
from sese.core.cache import cache_folder
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, from_json
from sese.data.corpora import Problem, Recording

_FORMAT = 1  # increase when the stored values change
FULL_SCALE = 32768
"""Value of a 16-bit sample at full scale."""

Tell = Callable[[int, int], None]
"""Called with the number of recordings that are decoded, and of all."""

_BLOCK = 64  # files decoded between two writes, which limits the memory used


@dataclass(frozen=True, eq=False)
class Bank:
    """Decoded mono recordings, one after the other.

    Attributes:
        samples: Samples of all recordings, int16 [sample], full scale 32768.
        starts: Index of the first sample of each recording, int64 [recording].
        lengths: Length of each recording in samples, int64 [recording].
        groups: Index into `group_names` of each recording, int64 [recording].
        group_names: Names of the groups: speakers or noise categories.
        paths: File of each recording.
        sample_rate: Sample rate in Hz.
        problems: Files that were left out, and why.
    """

    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    paths: tuple[Path, ...]
    sample_rate: int
    problems: tuple[Problem, ...] = ()

    def audio(self, recording: int) -> np.ndarray:
        """Return one recording, float32 [sample] in [-1, 1)."""
        start = self.starts[recording]
        return self.samples[start : start + self.lengths[recording]].astype(np.float32) / FULL_SCALE

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.lengths)

    def subset(self, mask: np.ndarray) -> Bank:
        """Return a bank of the recordings where `mask`, bool [recording], is true, and of their groups."""
        present, groups = np.unique(self.groups[mask], return_inverse=True)
        return replace(
            self,
            starts=self.starts[mask],
            lengths=self.lengths[mask],
            groups=groups.astype(np.int64),
            group_names=tuple(self.group_names[group] for group in present),
            paths=tuple(path for path, keep in zip(self.paths, mask, strict=True) if keep),
        )


def load_bank(
    recordings: Sequence[Recording],
    sample_rate: int = 16000,
    cache_dir: Path | str | None = None,
    tell: Tell | None = None,
) -> Bank:
    """Decode recordings to mono, or map the samples that an earlier call has decoded.

    Files that cannot be decoded, are silent throughout or have non-finite samples are listed in
    `Bank.problems`.

    Args:
        recordings: Files to decode. Channels are averaged.
        sample_rate: Sample rate of the bank in Hz; recordings are resampled to it.
        cache_dir: Cache folder. None: that of `sese.core.cache`. A hash of the paths, sizes
            and times of the files names the cache file, so a changed corpus gets a new one.
        tell: Called with the number of recordings that are decoded, and of all, as decoding goes on.

    Raises:
        InputError: No recording can be used, or the cache cannot be read or written.
    """
    if not recordings:
        raise InputError("bank: got no recordings; check what `sese data describe` finds in the folder")
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    data = folder / f"{_key(recordings, sample_rate)}.i16"
    index = data.with_suffix(".json")
    try:
        if not (index.exists() and data.exists()):
            folder.mkdir(parents=True, exist_ok=True)
            _decode_all(recordings, sample_rate, data, index, tell)
        stored = from_json(index.read_text())
        problems = tuple(Problem(Path(path), str(reason)) for path, reason in stored["problems"])
        decoded = [recordings[i] for i in stored["kept"]]
        lengths = np.array(stored["lengths"], dtype=np.int64)
        if lengths.shape != (len(decoded),) or (lengths < 1).any() or 2 * lengths.sum() > data.stat().st_size:
            raise ValueError("the lengths do not match the samples")
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"bank cache: cannot use {folder} ({error}); name another folder") from None
    except MALFORMED as error:
        raise InputError(f"bank cache: {index} is damaged ({error}); delete it") from None
    if not decoded:
        first = problems[0]
        raise InputError(
            f"bank: none of {len(recordings)} files can be used (first: {first.path}: {first.reason})"
        )
    names = tuple(sorted({r.group for r in decoded}))
    number = {name: i for i, name in enumerate(names)}
    return Bank(
        # Copy-on-write, because torch needs a writable array; nothing writes to it.
        samples=np.memmap(data, dtype=np.int16, mode="c"),
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        lengths=lengths,
        groups=np.array([number[r.group] for r in decoded], dtype=np.int64),
        group_names=names,
        paths=tuple(r.path for r in decoded),
        sample_rate=sample_rate,
        problems=problems,
    )


def decode(path: Path, sample_rate: int, subtract: Path | None = None) -> np.ndarray:
    """Decode one file to mono 16-bit samples.

    Args:
        path: Audio file. Channels are averaged.
        sample_rate: Sample rate of the result in Hz.
        subtract: File of the same rate and length to subtract from `path`.

    Returns:
        Samples, int16 [sample]; scaled down where they would exceed full scale.

    Raises:
        ValueError: The file cannot be read, has no samples, only silence, or non-finite samples.
    """
    samples, rate = read_audio(path)
    if subtract is not None:
        samples = samples - read_audio(subtract)[0]
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(mono).all():
        raise ValueError("not-a-number or infinite samples")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate)
    highest = (FULL_SCALE - 1) / FULL_SCALE
    peak = float(np.abs(mono).max(initial=0.0))
    if peak > highest:
        mono = mono * (highest / peak)
    whole = np.round(mono * FULL_SCALE).astype(np.int16)
    if not whole.any():
        raise ValueError("silent throughout" if len(whole) else "no samples in the file")
    return whole


def _key(recordings: Sequence[Recording], sample_rate: int) -> str:
    """Return a hash of the sample rate and of the paths, sizes and times of the files."""
    digest = hashlib.sha256(f"{_FORMAT} {sample_rate}".encode())
    for recording in recordings:
        digest.update(f"\n{_file_stamp(recording.path)}".encode())
        if recording.subtract is not None:
            digest.update(f" - {_file_stamp(recording.subtract)}".encode())
    return digest.hexdigest()[:32]


def _file_stamp(path: Path) -> str:
    """Return the path, size and modification time of a file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"bank: {path} is gone ({error.strerror}); scan again") from None
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def _decode_all(
    recordings: Sequence[Recording], sample_rate: int, data: Path, index: Path, tell: Tell | None
) -> None:
    """Decode the recordings and write the samples, then the index.

    Each file appears complete or not at all. The index is written last, so it never exists without the
    samples.
    """
    kept: list[int] = []
    lengths: list[int] = []
    problems: list[tuple[str, str]] = []

    def decode_or_reason(recording: Recording) -> np.ndarray | str:
        try:
            return decode(recording.path, sample_rate, recording.subtract)
        except (OSError, RuntimeError, ValueError) as error:
            return " ".join(str(error).removeprefix(f"{recording.path} ").split())

    with replacing(data) as written, open(written, "wb") as file, ThreadPoolExecutor() as pool:
        for first in range(0, len(recordings), _BLOCK):
            block = recordings[first : first + _BLOCK]
            for i, result in enumerate(pool.map(decode_or_reason, block), start=first):
                if isinstance(result, str):
                    problems.append((str(recordings[i].path), result))
                else:
                    kept.append(i)
                    lengths.append(len(result))
                    file.write(result.tobytes())
            if tell is not None:
                tell(first + len(block), len(recordings))
    with replacing(index) as written:
        written.write_text(json.dumps({"kept": kept, "lengths": lengths, "problems": problems}))
