"""Record the share of compute of each frame of a stream, and write it to a file."""

from __future__ import annotations

import csv
import io
import json
import math
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.core.files import replacing
from sese.runtime.card import Card

SUFFIXES = (".csv", ".json")
ROUNDING = 1e-6  # of the share of compute that a model reports


class Trace:
    """A value for each of the latest frames, such as the share of compute, four bytes each.

    Args:
        longest: Number of frames to keep; None to keep all. Up to a quarter more are held, so that dropping
            old ones is cheap.
    """

    def __init__(self, longest: int | None) -> None:
        self._longest = longest
        self._used = array("f")
        self._frames, self._total = 0, 0.0

    @property
    def mean(self) -> float:
        """Mean of all frames so far, also of those that were dropped; NaN before any."""
        return self._total / self._frames if self._frames else float("nan")

    def add(self, values: NDArray[np.float32]) -> None:
        """Append frames ``[frame]``."""
        added = values.tolist()
        self._used.extend(added)
        self._frames += len(added)
        self._total += sum(added)
        if self._longest is not None and len(self._used) >= 1.25 * self._longest:
            del self._used[: len(self._used) - self._longest]

    def read(self) -> NDArray[np.float32]:
        """Return the values of the frames ``[frame]``, the latest last; a copy."""
        kept = np.array(self._used, np.float32)
        return kept if self._longest is None else kept[-self._longest :]


def require_trace_path(path: Path, force: bool) -> None:
    """Raise InputError where `path` cannot take a trace, as far as is known before writing."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"trace {path} does not end in .csv or .json; name another file")
    if path.is_dir():
        raise InputError(f"trace {path} is a folder; name a file in it")
    if path.exists() and not force:
        raise InputError(f"trace {path} exists; use force (--force) to replace it, or name another file")


def write_trace(
    path: Path,
    utilization: NDArray[np.float32],
    card: Card,
    speech_probability: NDArray[np.float32] | None = None,
) -> None:
    """Write a table with one row per frame, as CSV or as a JSON list, by the suffix of `path`.

    Its columns are ``time_s``, the beginning of the frame in seconds; ``utilization``, the share of compute
    in (0, 1]; and ``level``, counted from 0, the lowest. The level is empty where no single level ran, as
    with gates that pick channels or channels that are not linked, and where levels are alternatives.
    The frames at the end flush the model and lie behind the signal. With `speech_probability` there is a
    column of that name, empty in frames that the router did not decide on.

    Args:
        path: File to write; it appears when it is complete.
        utilization: Share of compute of each frame ``[frame]``.
        card: Facts about the model that ran.
        speech_probability: See `sese.runtime.stream.Stream.speech_probability`.

    Raises:
        InputError: The file cannot be written.
    """
    levels = np.array([level.utilization for level in card.levels])
    nearest = np.abs(utilization[:, None] - levels).argmin(axis=1)
    exact = np.isclose(utilization, levels[nearest], rtol=0, atol=ROUNDING)
    rows: list[dict[str, float | None]] = [
        {
            "time_s": round(frame * card.hop_length / card.sample_rate, 6),
            "utilization": float(levels[level]) if at_level else round(float(used), 6),
            "level": int(level) if at_level and not card.alternatives else None,
        }
        for frame, (used, level, at_level) in enumerate(zip(utilization, nearest, exact, strict=True))
    ]
    if speech_probability is not None:
        for row, value in zip(rows, speech_probability.tolist(), strict=True):
            row["speech_probability"] = None if math.isnan(value) else round(value, 4)
    if path.suffix.lower() == ".json":
        text = json.dumps(rows, indent=0)
    else:
        table = io.StringIO()
        names = ["time_s", "utilization", "level"]
        names += [] if speech_probability is None else ["speech_probability"]
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = table.getvalue()
    with replacing(path) as part:
        part.write_text(text)
