"""Scores of runs as small files, from which claims.py makes its report.

    SCORES/noisy/                 scores of the input
    SCORES/joint-0.25/seed-1/     scores of a run

Each folder appears whole or not at all. It has two files: scores.csv, with a row for each file and level, and
about.json: which weights these are, when they were validated, how long they take.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from claims_tables import CHANGES, DIGITS, INPUT, MACS, NOISY, ROUTER, SHARES, USED, Row, columns
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.untrusted import MALFORMED, from_json, read_table

CSV, ABOUT = "scores.csv", "about.json"

MMACS = "mmacs_per_second"
"""Column of the file that holds `MACS` in millions."""

STORED = {INPUT: 2, USED: 4, MMACS: 3, **DIGITS}
"""Number of decimals in the file of each column; shares and changes of utilization have `FINE`."""

FINE = {SHARES: 3, CHANGES: 5}


@dataclass(frozen=True)
class Stored:
    """Scores of a run, or of the input.

    Attributes:
        files: Names of the clips.
        rows: Scores by level, ``router`` or ``noisy``.
        about: Facts of the run, see `claims_scores.measure`.
    """

    files: list[str]
    rows: dict[str, Row]
    about: dict[str, Any]


def write(folder: Path, stored: Stored) -> None:
    """Write the scores of a run, whole or not at all."""
    with replacing(folder, folder=True) as part:
        (part / CSV).write_text(to_csv(stored.files, stored.rows))
        (part / ABOUT).write_text(json.dumps(stored.about, allow_nan=False) + "\n")


def read(folder: Path) -> Stored | None:
    """Return the scores of a run; None where there are none.

    Raises:
        InputError: The files are damaged.
    """
    if not (folder / ABOUT).exists():
        return None
    with damage_named(folder, "score the run again"):
        about = from_json((folder / ABOUT).read_text())
        names, lines = read_table(folder / CSV)
        cells: dict[str, list[dict[str, str]]] = {}
        for _, line in lines:
            cells.setdefault(line["level"], []).append(line)
        rows = {
            level: _row(level, names, each, len(about.get("levels", ()))) for level, each in cells.items()
        }
        first, *_ = cells.values()
        files = [line["file"] for line in first]
    return Stored(files, rows, about)


@contextmanager
def damage_named(place: Path, remedy: str) -> Iterator[None]:
    """Name a file or folder, and what to do, where what is read there is not as expected.

    Raises:
        InputError: It is damaged.
    """
    try:
        yield
    except MALFORMED as error:
        raise InputError(f"{place} is damaged ({error!r:.200}); delete it and {remedy}") from None


def to_csv(files: Sequence[str], rows: Mapping[str, Row]) -> str:
    """Return a line for each file and level; what is not known or not finite is empty."""
    flat = {level: dict(_flat(level, row)) for level, row in rows.items()}
    names = list(dict.fromkeys(name for row in flat.values() for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "level", *names])
    for level, row in flat.items():
        for number, file in enumerate(files):
            writer.writerow([file, level, *(row[name][number] if name in row else "" for name in names)])
    return text.getvalue()


def _flat(level: str, row: Row) -> Iterator[tuple[str, list[str]]]:
    """Yield the columns of a row in the file, and their cells."""
    values = {**row, MMACS: np.divide(row[MACS], 1e6)} if MACS in row else row
    for name, digits in STORED.items():
        if name in values:
            yield name, [_cell(value, digits) for value in values[name]]
    for name in (SHARES, CHANGES) if level == ROUTER else ():
        for number, column in enumerate(np.transpose(row.get(name, []))):
            yield f"{name}_{number}", [_cell(value, FINE[name]) for value in column]


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None or not math.isfinite(value) else str(round(float(value), digits))


def _row(level: str, names: Sequence[str], lines: Sequence[Mapping[str, str]], level_count: int) -> Row:
    """Return a row from its lines in the file."""

    def values(name: str) -> list[float]:
        return [float(line[name] or "nan") for line in lines]

    row: Row = {name: values(name) for name in STORED if name in names and name != MMACS}
    if level == NOISY:
        return row
    row[MACS] = [1e6 * value for value in values(MMACS)]
    for name in (SHARES, CHANGES):
        numbered = [values(each) for each in names if each.startswith(f"{name}_")]
        if numbered and level == ROUTER:
            row[name] = np.transpose(numbered).tolist()
    if level != ROUTER:
        row[SHARES] = [[float(n == int(level)) for n in range(level_count)] for _ in lines]
    return row


def read_all(scores: Path) -> tuple[Stored, dict[str, dict[str, Stored]]]:
    """Return the scores of the input, and those of all runs by name and by the folder of the seed.

    Columns of scores that one of them lacks are left out.

    Raises:
        InputError: There are none, or not all are of the same clips.
    """
    noisy = read(scores / NOISY)
    # What a killed process left has a name that begins with a dot.
    found = sorted(path.parent for path in scores.glob(f"[!.]*/[!.]*/{ABOUT}"))
    runs: dict[str, dict[str, Stored]] = {}
    for folder in found:
        stored = read(folder)
        if stored is not None:
            runs.setdefault(folder.parent.name, {})[folder.name] = stored
    if noisy is None or not runs:
        raise InputError(f"{scores} holds no scores of runs; make them with claims.py score")
    every = [noisy, *(stored for seeds in runs.values() for stored in seeds.values())]
    for folder, stored in zip(found, every[1:], strict=True):
        if stored.about["clips"] != noisy.about["clips"]:
            raise InputError(f"{folder} has scores of other clips than {scores / NOISY}; score them again")
    rows = [row for stored in every for row in stored.rows.values()]
    common = [name for name in DIGITS if all(name in row for row in rows)]
    for row in rows:
        for name in set(columns(row)) - {*common}:
            del row[name]
    return noisy, runs


def digest(*paths: Path) -> str:
    """Return the SHA-256 of the contents of files."""
    found = hashlib.sha256()
    for path in paths:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def commit() -> str:
    """Return the commit of this program, with ``+`` after it where files differ; empty without Git."""
    here = Path(__file__).parent
    try:
        called = [
            subprocess.run(["git", "-C", here, *words], capture_output=True, text=True, check=True).stdout
            for words in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no", ".", "../src"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return called[0].strip() + ("+" if called[1].strip() else "")
