"""Clips with their wide-band PESQ: made and scored once, then read from a cache.

The cache is named by a hash of what the clips are made of, and grows as far as clips are asked for: a stopped
run goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.core.cache import cache_folder
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import read_array
from sese.data.synthetic import synthetic_banks
from sese.evaluation.metrics import check_metrics
from sese.evaluation.pairs import find_pairs
from sese.evaluation.parallel import parallel
from sese.predictor.design import Design
from sese.predictor.spectrum import VERSION, log_mel
from sese.quality.config import QualityConfig
from sese.quality.sources import LABEL, Make, Mixtures, Pairs, Row, Source, speakers_of, split_banks

_AT_ONCE = 8  # clips of a task

Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Clips:
    """Labelled clips.

    audio: int16 [clip, time], full scale 32768; mapped from the cache file.
    labels: [clip] of `LABEL`: PESQ (NaN where it has no value), SNR of the mixture in dB, indices into
        `speakers` and into the noise recordings, and how the clip was made (`MIXTURE`, ... of the sources).
    speakers: their names.
    place: path of the cache file that holds the audio.
    """

    audio: NDArray[np.int16]
    labels: np.ndarray
    speakers: tuple[str, ...]
    place: Path

    def __len__(self) -> int:
        return len(self.labels)


def spectrograms(clips: Clips, design: Design) -> NDArray[np.float16]:
    """Return log mel spectrograms [clip, band, frame] of all clips, kept beside them.

    Raises:
        InputError: the cache cannot be used.
    """
    what = f"{design.sample_rate}-{design.fft}-{design.hop}-{design.bands}-v{VERSION}"
    path = clips.place.with_name(f"{clips.place.stem}-mel-{what}.npy")
    try:
        none = np.empty((0, design.bands, design.frames), np.float16)
        kept: NDArray[np.float16] = none
        if path.exists():
            kept = read_array(path, mapped=True)
        if kept.shape[1:] != none.shape[1:] or kept.dtype != none.dtype:
            raise ValueError("no spectrograms")
        if len(kept) >= len(clips):
            return kept[: len(clips)]
        made = np.empty((len(clips), design.bands, design.frames), np.float16)
        made[: len(kept)] = kept
        for index in range(len(kept), len(clips)):
            made[index] = log_mel(clips.audio[index] / np.float32(32768), design)
        _write(path, made)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"clips: cannot use {path} ({error}); delete it, or set data.cache_dir") from None
    return made


def labelled(
    config: QualityConfig, jobs: int = 1, max_minutes: float | None = None, report: Report = print
) -> tuple[Clips, Clips] | None:
    """Return training and validation clips; make and label those that the cache does not have.

    Args:
        config: configuration of the run.
        jobs: processes that make clips.
        max_minutes: stop after this long.
        report: function that is called with lines of progress.

    Returns:
        Both, or None where time was up before all were made.

    Raises:
        InputError: no PESQ, no speech or noise, an unknown model, or a cache that cannot be used.
    """
    check_metrics(["pesq"])
    data, deadline = config.data, None if max_minutes is None else time.monotonic() + 60 * max_minutes
    if data.synthetic:
        banks = tuple(synthetic_banks(config.mix.sample_rate, seed) for seed in (1, 2))
    else:
        banks = split_banks(data, config.mix.sample_rate, report)
    made = []
    for number, (name, count) in enumerate((("training", data.clips), ("validation", data.validation_clips))):
        source = Mixtures(data, config.mix, banks[number], 2 * config.seed + number)
        clips = grown(source, count, data.cache_dir, jobs, deadline, _named(name, report))
        if clips is None:
            return None
        made.append(clips)
    return made[0], made[1]


def of_pairs(
    folder: Path,
    samples: int,
    models: tuple[str, ...],
    limit: int | None = None,
    cache_dir: str = "",
    jobs: int = 1,
    report: Report = print,
) -> Clips:
    """Return every pair of a folder, noisy and enhanced at each level of each model, as clips.

    Raises:
        InputError: no PESQ, no pairs, an unknown model, or a cache that cannot be used.
    """
    check_metrics(["pesq"])
    source = Pairs(tuple(find_pairs(folder, limit)), samples, models, speakers_of(folder / "manifest.csv"))
    count = len(source.pairs) * source.versions
    clips = grown(source, count, cache_dir, jobs, None, _named(str(folder), report))
    assert clips is not None  # without a deadline
    return clips


def grown(
    source: Source, count: int, cache_dir: str, jobs: int, deadline: float | None, report: Report
) -> Clips | None:
    """Return the first `count` clips of a source; None where the deadline came first.

    Raises:
        InputError: the cache cannot be used, or what makes clips raises it.
    """
    folder = (Path(cache_dir) if cache_dir else cache_folder()) / "quality"
    key, samples = source.key(), source.samples
    sound, path = folder / f"{key}.i16", folder / f"{key}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        labels = read_array(path) if path.exists() else np.empty(0, LABEL)
        if labels.dtype != LABEL or labels.ndim != 1:
            raise ValueError("no labels")
        known, begun, told = len(labels), time.monotonic(), time.monotonic()
        tasks = [range(first, min(first + _AT_ONCE, count)) for first in range(known, count, _AT_ONCE)]
        if tasks:
            with open(sound, "r+b" if sound.exists() else "w+b") as file:
                file.truncate(2 * samples * known)  # what was written after the last labels is made again
                file.seek(0, os.SEEK_END)
                for rows in parallel(_task, tasks, min(jobs, len(tasks)), _start, (source,)):
                    file.write(b"".join(audio.tobytes() for audio, _ in rows))
                    file.flush()
                    labels = np.append(labels, np.array([label for _, label in rows], LABEL))
                    _write(path, labels)
                    now = time.monotonic()
                    if now - told > 15 or len(labels) == count:
                        left = (now - begun) / (len(labels) - known) * (count - len(labels)) / 60
                        report(f"labelled {len(labels)} of {count} clips, {left:.1f} min left")
                        told = now
                    if deadline is not None and now > deadline and len(labels) < count:
                        return None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"clips: cannot use {path} ({error}); delete it, or set data.cache_dir") from None
    audio = np.memmap(sound, dtype=np.int16, mode="r", shape=(len(labels), samples))
    return Clips(audio[:count], labels[:count], source.speakers, sound)


def _named(name: str, report: Report) -> Report:
    return lambda text: report(f"{name}: {text}")


_make: Make | None = None  # one per process


def _start(source: Source) -> None:
    global _make
    import torch

    torch.set_num_threads(1)
    _make = source.open()


def _task(indices: range) -> list[tuple[NDArray[np.int16], Row]]:
    assert _make is not None
    return [_make(index) for index in indices]


def _write(path: Path, values: np.ndarray) -> None:
    with replacing(path) as part, part.open("wb") as file:
        np.save(file, values)
