"""Measure the recordings of a corpus and decide which of them are good enough to train on.

`measure` measures one signal. `judge` compares the result with limits. `select` does both for a whole folder,
and `write` saves the verdicts as `selection.csv`, which `sese.data.corpora.scan` applies.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from sese.audio.files import read_audio
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.data.corpora import Kind, Recording, as_utf8, has_layout, manifest_path, read_selection, scan
from sese.evaluation.parallel import job_count, parallel

COLUMNS = (
    *("path", "role", "group", "seconds", "snr_db", "bandwidth_hz", "level_dbfs", "clipped", "gated"),
    *("verdict", "reason"),
)
_FORMATS = {
    "seconds": ".3f", "snr_db": ".1f", "bandwidth_hz": ".0f", "level_dbfs": ".1f", "clipped": "d",
    "gated": ".3f",
}  # fmt: skip
FRAME_SECONDS = 0.02  # length of a frame for levels
SPEECH_RANGE_DB = 20.0  # frames within this range of the 95th percentile count as active
GATED_DBFS = -84.0  # quieter than two steps of 16 bits; no microphone is that quiet
BAND_RANGE_DB = 60.0  # the band ends where the spectrum is this far below its maximum
CLIPPED_RUN = 4  # samples in a row at the peak


@dataclass(frozen=True)
class Measures:
    """Properties of one recording.

    Attributes:
        seconds: Length.
        snr_db: Active level minus the level of the weakest 5% of the frames; frames of digital silence (all
            samples equal) are left out. NaN for a recording that is digital silence throughout.
        bandwidth_hz: Highest frequency at which the 97th percentile of the spectra is within 60 dB of
            its maximum.
        level_dbfs: Mean level of the active frames, in dB relative to full scale (a square wave is 0 dB).
        clipped: Number of runs of four and more samples at the peak.
        gated: Share of frames (0 to 1) that are digital silence or quieter than -84 dBFS.
    """

    seconds: float
    snr_db: float
    bandwidth_hz: float
    level_dbfs: float
    clipped: int
    gated: float


def measure(samples: np.ndarray, sample_rate: int) -> Measures:
    """Measure a recording.

    Args:
        samples: Float array of shape [samples] or [samples, channels]; full scale is 1. The channels are
            averaged.
        sample_rate: Samples per second.
    """
    signal = np.asarray(samples, np.float32)
    if signal.ndim == 2:
        signal = signal.mean(axis=1)
    seconds = len(signal) / sample_rate
    size = max(1, round(FRAME_SECONDS * sample_rate))
    if len(signal) < size:
        signal = np.pad(signal, (0, size - len(signal)))
    frames = signal[: len(signal) // size * size].reshape(-1, size)
    power = frames.var(axis=1, dtype=np.float64)  # without a constant offset
    gated = float(np.mean(power < 10 ** (GATED_DBFS / 10)))
    power = np.sort(power[power > 0])
    if len(power) == 0:
        return Measures(seconds, float("nan"), 0.0, float("-inf"), 0, gated)
    active = power[power >= np.percentile(power, 95) / 10 ** (SPEECH_RANGE_DB / 10)].mean()
    floor = power[: max(1, round(0.05 * len(power)))].mean()
    return Measures(
        seconds,
        float(10 * np.log10(active / floor)),
        _bandwidth(signal, sample_rate),
        float(10 * np.log10(active)),
        clipped_runs(signal),
        gated,
    )


def _bandwidth(signal: np.ndarray, sample_rate: int, most: int = 2000) -> float:
    """Return the frequency in Hz where the band ends, from at most `most` frames spread over the signal."""
    size = 1 << max(1, round(np.log2(0.032 * sample_rate)))
    if len(signal) < size:
        signal = np.pad(signal, (0, size - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 2]
    frames = frames[:: -(-len(frames) // most)]
    spectra = np.abs(np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * np.hanning(size))) ** 2
    top = np.percentile(spectra, 97, axis=0)
    if not top.max() > 0:
        return 0.0
    return float(np.flatnonzero(top >= top.max() / 10 ** (BAND_RANGE_DB / 10))[-1] * sample_rate / size)


def clipped_runs(signal: np.ndarray) -> int:
    """Count runs of samples within one step of 16 bits of the peak, on either side of zero."""
    size = np.minimum(np.abs(signal), np.float32(32767 / 32768))
    peak = size.max()
    if peak < 0.01:
        return 0
    at_peak = np.concatenate([[False], size >= peak - np.float32(1.5 / 32768), [False]])
    edges = np.flatnonzero(at_peak[1:] != at_peak[:-1])
    return int(np.count_nonzero(edges[1::2] - edges[::2] >= CLIPPED_RUN))


@dataclass(frozen=True)
class Limits:
    """Limits that a recording must meet to be kept; see `Measures` for units.

    Attributes:
        min_snr_db: Lowest signal-to-noise ratio.
        min_bandwidth_hz: Lowest bandwidth.
        min_level_dbfs: Lowest active level.
        max_clipped: Highest number of clipped runs.
        min_seconds: Shortest length.
        max_gated: Highest share of gated frames, 0 to 1.
        cap_minutes: Longest total per group (speaker or noise category). None: no cap.
    """

    min_snr_db: float = 30.0
    min_bandwidth_hz: float = 6000.0
    min_level_dbfs: float = -45.0
    max_clipped: int = 2
    min_seconds: float = 0.5
    max_gated: float = 1.0
    cap_minutes: float | None = None

    def __post_init__(self) -> None:
        if any(np.isnan(value) for value in astuple(self) if value is not None):
            raise InputError("data select: a limit is not a number; give numbers")
        if self.cap_minutes is not None and self.cap_minutes <= 0:
            raise InputError(f"data select: --cap-minutes is {self.cap_minutes}; use a number above 0")


DEFAULTS: dict[str, Limits] = {
    "speech": Limits(),
    "noise": Limits(min_snr_db=float("-inf"), min_bandwidth_hz=0.0, min_level_dbfs=-60.0),
}
"""Limits by role. Noise may be steady and of any bandwidth."""


@dataclass(frozen=True)
class Row:
    """A row of the manifest: a file, its measures and the verdict.

    Attributes:
        path: Path relative to the folder that was scanned, with forward slashes.
        role: `speech` or `noise`.
        group: Speaker or noise category.
        measures: Measures; None where the file could not be decoded.
        reasons: What fails (`short`, `clipped`, `level`, `bandwidth`, `snr`, `gated`, `silent`, `cap`,
            `unreadable`). Empty: the file is kept.
    """

    path: str
    role: str
    group: str
    measures: Measures | None
    reasons: tuple[str, ...]


def judge(measures: Measures, limits: Limits) -> tuple[str, ...]:
    """Return the names of the limits that a recording fails; none if it is good enough."""
    if np.isnan(measures.snr_db):
        return ("silent",)
    failed = {
        "short": measures.seconds < limits.min_seconds,
        "clipped": measures.clipped > limits.max_clipped,
        "level": measures.level_dbfs < limits.min_level_dbfs,
        "bandwidth": measures.bandwidth_hz < limits.min_bandwidth_hz,
        "snr": measures.snr_db < limits.min_snr_db,
        "gated": measures.gated > limits.max_gated,
    }
    return tuple(name for name, fails in failed.items() if fails)


def select(
    folder: Path, role: Kind = "speech", limits: Limits | None = None, jobs: int | None = 1
) -> list[Row]:
    """Measure the recordings of a folder and judge them.

    All files are measured, whatever an existing `selection.csv` says.

    Args:
        folder: Corpus, or any folder of audio of this role.
        role: `speech` or `noise`.
        limits: Limits. None: the defaults of the role.
        jobs: Number of processes. None: one per core.

    Raises:
        InputError: The folder has no readable recording of this role.
    """
    if role not in DEFAULTS:
        raise InputError(f"data select: --role is {role!r}; use speech or noise")
    limits = limits or DEFAULTS[role]
    recordings: tuple[Recording, ...] = getattr(scan(folder, selection=False), role)
    if not recordings and not has_layout(folder):
        recordings = getattr(scan(folder, role=role, selection=False), role)
    if not recordings:
        raise InputError(f"data select: no {role} in {folder}; see `sese data describe {folder}`")
    rows = []
    measured = parallel(_measure_file, [r.path for r in recordings], job_count(jobs, len(recordings)))
    for record, measures in zip(recordings, measured, strict=True):
        path = manifest_path(record.path, folder)
        reasons = judge(measures, limits) if measures else ("unreadable",)
        rows.append(Row(path, role, as_utf8(record.group), measures, reasons))
    return rows if limits.cap_minutes is None else _capped(rows, 60 * limits.cap_minutes)


def _measure_file(path: Path) -> Measures | None:
    """Return the measures of a file, or None if it cannot be decoded."""
    try:
        samples, rate = read_audio(path)
    except (OSError, RuntimeError, ValueError):
        return None
    return measure(samples, rate)


def _capped(rows: list[Row], seconds: float) -> list[Row]:
    """Drop recordings of each group that would exceed `seconds` in total.

    Speech recordings with the highest SNR are kept first, noise recordings in the order of their names.
    """
    order = sorted(
        (row for row in rows if row.measures and not row.reasons),
        key=lambda row: (-row.measures.snr_db if row.role == "speech" and row.measures else 0.0, row.path),
    )
    total: Counter[str] = Counter()
    over = set()
    for row in order:
        assert row.measures is not None
        if total[row.group] + row.measures.seconds > seconds:
            over.add(row.path)
        else:
            total[row.group] += row.measures.seconds  # type: ignore[assignment]
    return [replace(row, reasons=("cap",)) if row.path in over else row for row in rows]


def write(rows: Sequence[Row], path: Path) -> None:
    """Write `selection.csv`; rows of the other role that are already in the file are kept.

    Raises:
        InputError: The file that is there is damaged, or the file cannot be written.
    """
    roles = {row.role for row in rows}
    before = read_selection(path) if path.exists() else []
    lines = [
        {name: line.get(name, "") for name in COLUMNS} for line in before if line.get("role") not in roles
    ]
    for row in rows:
        values = dict.fromkeys(COLUMNS, "")
        values |= {"path": row.path, "role": row.role, "group": row.group}
        if row.measures:
            for name, spec in _FORMATS.items():
                values[name] = format(getattr(row.measures, name), spec)
        values["verdict"], values["reason"] = "drop" if row.reasons else "keep", " ".join(row.reasons)
        lines.append(values)
    try:
        with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(sorted(lines, key=lambda line: (line["role"], line["path"])))
    except (OSError, UnicodeError) as error:
        raise InputError(f"data select: cannot write {path} ({error}); name another file with -o") from None
