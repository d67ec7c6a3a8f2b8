"""All recordings of a role, decoded once into one array of 16-bit samples.

Decoding compressed audio for every example would cost far more than mixing it. A bank decodes each file
once, keeps the samples in a cache file, and maps that file into memory: starting a second run takes
milliseconds, and processes on one machine share the pages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sese.audio.files import native_name
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, from_json
from sese.data.corpora import Problem, Recording

_FORMAT = 1  # raise when what is stored changes
_FULL_SCALE = 32768
_AT_ONCE = 64  # files decoded between two writes; bounds the memory used


@dataclass(frozen=True, eq=False)
class Bank:
    """Decoded mono recordings, one after the other.

    samples: int16 [sample], full scale 32768.
    starts, lengths: int64 [recording], in samples.
    groups: int64 [recording], indices into `group_names` (speakers or noise categories).
    paths: the file of each recording. problems: files that were left out, and why.
    """

    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    groups: np.ndarray
    group_names: tuple[str, ...]
    paths: tuple[Path, ...]
    sample_rate: int
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.lengths)

    def audio(self, recording: int) -> np.ndarray:
        """One recording, float32 [sample] in [-1, 1)."""
        start = self.starts[recording]
        return self.samples[start : start + self.lengths[recording]].astype(np.float32) / _FULL_SCALE

    def only(self, kept: np.ndarray) -> Bank:
        """The recordings where `kept`, bool [recording], is true, and their groups; may be none."""
        present, groups = np.unique(self.groups[kept], return_inverse=True)
        return replace(
            self,
            starts=self.starts[kept],
            lengths=self.lengths[kept],
            groups=groups.astype(np.int64),
            group_names=tuple(self.group_names[group] for group in present),
            paths=tuple(path for path, keep in zip(self.paths, kept, strict=True) if keep),
        )


def load_bank(
    recordings: Sequence[Recording], sample_rate: int = 16000, cache_dir: Path | str | None = None
) -> Bank:
    """Decode recordings (mono mean, resampled to `sample_rate` Hz), or map the copy decoded before.

    cache_dir: default `$XDG_CACHE_HOME/sese` or `~/.cache/sese`. The cache file is named by a hash of the
    paths, sizes and times of the files, so a changed corpus makes a new one.

    Files that fail, are silent throughout or hold non-finite samples are named in `Bank.problems`; raises
    InputError if none is left, or if the cache cannot be written.
    """
    if not recordings:
        raise InputError("bank: got no recordings; check what `sese data describe` finds in the folder")
    folder = Path(cache_dir) if cache_dir is not None else default_cache()
    data = folder / f"{_key(recordings, sample_rate)}.i16"
    index = data.with_suffix(".json")
    try:
        if not (index.exists() and data.exists()):
            folder.mkdir(parents=True, exist_ok=True)
            _decode_all(recordings, sample_rate, data, index)
        held = from_json(index.read_text())
        problems = tuple(Problem(Path(path), str(reason)) for path, reason in held["problems"])
        kept = [recordings[i] for i in held["kept"]]
        lengths = np.array(held["lengths"], dtype=np.int64)
        if lengths.shape != (len(kept),) or (lengths < 1).any() or 2 * lengths.sum() > data.stat().st_size:
            raise ValueError("lengths that are not those of the samples")
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"bank cache: cannot use {folder} ({error}); name another folder") from None
    except MALFORMED as error:
        raise InputError(f"bank cache: {index} is damaged ({error}); delete it") from None
    if not kept:
        first = problems[0]
        raise InputError(
            f"bank: none of {len(recordings)} files can be used (first: {first.path}: {first.reason})"
        )
    names = tuple(sorted({r.group for r in kept}))
    number = {name: i for i, name in enumerate(names)}
    return Bank(
        # Copy-on-write: torch wants a writable array, and nothing ever writes to it.
        samples=np.memmap(data, dtype=np.int16, mode="c"),
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        lengths=lengths,
        groups=np.array([number[r.group] for r in kept], dtype=np.int64),
        group_names=names,
        paths=tuple(r.path for r in kept),
        sample_rate=sample_rate,
        problems=problems,
    )


def default_cache() -> Path:
    """The folder where decoded banks are kept unless the caller names another."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sese"


def decode(path: Path, sample_rate: int, minus: Path | None = None) -> np.ndarray:
    """One file as int16 [sample], mono at `sample_rate` Hz; scaled down if it would exceed full scale.

    minus: a file of the same rate and length to subtract.

    Raises ValueError (or soundfile's errors) if there is nothing to use in the file.
    """
    samples, rate = soundfile.read(native_name(path), dtype="float32", always_2d=True)
    if minus is not None:
        samples = samples - soundfile.read(native_name(minus), dtype="float32", always_2d=True)[0]
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if not np.isfinite(mono).all():
        raise ValueError("not-a-number or infinite samples")
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate)
    highest = (_FULL_SCALE - 1) / _FULL_SCALE
    peak = float(np.abs(mono).max(initial=0.0))
    if peak > highest:
        mono = mono * (highest / peak)
    whole = np.round(mono * _FULL_SCALE).astype(np.int16)
    if not whole.any():
        raise ValueError("silent throughout" if len(whole) else "no samples in the file")
    return whole


def _key(recordings: Sequence[Recording], sample_rate: int) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {sample_rate}".encode())
    for recording in recordings:
        digest.update(f"\n{_stamp(recording.path)}".encode())
        if recording.minus is not None:
            digest.update(f" - {_stamp(recording.minus)}".encode())
    return digest.hexdigest()[:32]


def _stamp(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"bank: {path} is gone ({error.strerror}); scan again") from None
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def _decode_all(recordings: Sequence[Recording], sample_rate: int, data: Path, index: Path) -> None:
    """Write the samples, then the index; each appears whole or not at all, and the index appears last."""
    kept: list[int] = []
    lengths: list[int] = []
    problems: list[tuple[str, str]] = []

    def attempt(recording: Recording) -> np.ndarray | str:
        try:
            return decode(recording.path, sample_rate, recording.minus)
        except (OSError, RuntimeError, ValueError) as error:
            return " ".join(str(error).split())

    with replacing(data) as written, open(written, "wb") as file, ThreadPoolExecutor() as pool:
        for first in range(0, len(recordings), _AT_ONCE):
            part = recordings[first : first + _AT_ONCE]
            for i, result in enumerate(pool.map(attempt, part), start=first):
                if isinstance(result, str):
                    problems.append((str(recordings[i].path), result))
                else:
                    kept.append(i)
                    lengths.append(len(result))
                    file.write(result.tobytes())
    with replacing(index) as written:
        written.write_text(json.dumps({"kept": kept, "lengths": lengths, "problems": problems}))
