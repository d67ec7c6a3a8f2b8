"""Keep the manifest of a run over many files: a line of JSON for each file that was finished or failed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sese.core.errors import InputError
from sese.core.lock import lock
from sese.core.untrusted import MALFORMED, from_json
from sese.folders.places import absolute

if TYPE_CHECKING:
    from sese.folders.inputs import Job
    from sese.folders.job import Outcome
    from sese.runtime.artefact import Artefact
    from sese.runtime.options import EnhanceOptions

NAME = "manifest.jsonl"
# Options that change the output.
CHOSEN = ("budget", "mix", "max_attenuation_db", "max_mmacs", "max_rtf", "band_above", "linked")
SETTINGS = ("model", "model_sha256", *CHOSEN)
MEASURED = ("seconds", "processing_seconds", "utilization")


def settings_row(options: EnhanceOptions, artefact: Artefact) -> dict[str, Any]:
    """Return the settings of a row: the model by name, version and digest, and the options."""
    digest = hashlib.sha256(artefact.path.read_bytes()).hexdigest()[:16]
    model = {"model": f"{artefact.card.name} {artefact.card.version}", "model_sha256": digest}
    return model | {name: getattr(options, name) for name in CHOSEN}


class Manifest:
    """A context that reads a manifest, then appends to it, for one run at a time.

    The file is opened when the first row is added, so a run that is refused leaves none. A row is one write
    of a whole line, so a killed run leaves whole lines. A line that a full disk or a power cut left
    incomplete is removed at the end of the file and passed over elsewhere.

    Args:
        path: File of JSON lines, appended to if it exists. A missing folder is created.

    Attributes:
        rows: Number of rows that were read.
        torn: Number of lines that could not be read.

    Raises:
        InputError: The file cannot be read or written, is not a manifest, or another run uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = self.torn = 0
        self._file: int | None = None
        self._settings: list[dict[str, Any]] = []  # each once: there are many rows and few settings
        self._known: dict[str, tuple[bool, int]] = {}  # output: whether it was there, index in _settings
        self._index: dict[str, int] = {}
        self._end = 0  # position behind the last whole line
        if path.is_dir():
            raise InputError(f"--manifest {path} is a folder; name a file")
        if path.exists() and not _may_be_kept(path):
            raise InputError(f"--manifest {path} is a device, a pipe or this program's output; name a file")

    def __enter__(self) -> Manifest:
        try:
            if self.path.exists():
                self._open()
                self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, outcome: Outcome, settings: dict[str, Any]) -> None:
        """Append the outcome of a job. A skipped job is added only if its output was not known yet."""
        output = absolute(outcome.job.target)
        there = outcome.status != "failed"
        if outcome.status == "skipped" and self._known.get(output, (False, 0))[0]:
            return
        made: dict[str, Any] = settings if outcome.status == "done" else dict.fromkeys(SETTINGS)
        report = outcome.report
        row: dict[str, Any] = {
            "input": absolute(outcome.job.source),
            "output": output,
            "status": outcome.status,
        }
        row |= {name: getattr(report, name) if report else None for name in MEASURED}
        row |= made | {"error": outcome.error, "at": datetime.now(timezone.utc).isoformat(timespec="seconds")}
        self._write(json.dumps(row, ensure_ascii=False) + "\n")
        self._known[output] = (there, self._place(made))

    def changed(self, jobs: Sequence[Job], settings: dict[str, Any]) -> dict[str, tuple[int, Any]]:
        """Return the settings that differ from those of finished outputs.

        Args:
            jobs: Jobs whose outputs exist.
            settings: Row from `settings_row`.

        Returns:
            Name of each setting that differs -> number of outputs, and one of their values.
        """
        counts: Counter[int] = Counter()
        for job in jobs:
            there, made = self._known.get(absolute(job.target), (False, -1))
            if there and self._settings[made]["model"] is not None:
                counts[made] += 1
        found: dict[str, tuple[int, Any]] = {}
        for made, count in counts.items():
            for name in SETTINGS:
                before = self._settings[made].get(name)
                if before != settings[name]:
                    found[name] = (found.get(name, (0, None))[0] + count, before)
        return found

    def _place(self, settings: dict[str, Any]) -> int:
        kept = {name: settings.get(name) for name in SETTINGS}
        key = json.dumps(kept)
        if key not in self._index:
            self._index[key] = len(self._settings)
            self._settings.append(kept)
        return self._index[key]

    def _open(self) -> int:
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._file = os.open(self.path, flags, 0o666)
            except OSError as error:
                raise InputError(
                    f"manifest {self.path} cannot be written ({error.strerror}); name another with --manifest"
                ) from error
            self._hold(self._file)
        return self._file

    def _hold(self, file: int) -> None:
        """Keep a second run out, where the file system has locks."""
        try:
            lock(file)
        except BlockingIOError:
            raise InputError(
                f"manifest {self.path} is in use by another run; wait for it, or name another with --manifest"
            ) from None
        except OSError:  # no locks there
            pass

    def _read(self) -> None:
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn += 1
                    break
                self._end += len(line)
                try:
                    row = from_json(line)
                    output, status = str(row["output"]), row["status"]
                    made = self._place(row)
                except MALFORMED:
                    self.torn += 1
                    continue
                self.rows += 1
                self._known[output] = (status != "failed", made)
        if self.torn and not self.rows:
            raise InputError(
                f"{self.path} is not a manifest: no line of it is a row of one; name another file with "
                "--manifest, or remove it"
            )
        if self._file is not None and os.fstat(self._file).st_size > self._end:
            os.ftruncate(self._file, self._end)

    def _write(self, line: str) -> None:
        file, data = self._open(), line.encode(errors="backslashreplace")
        try:
            written = os.write(file, data)
            if written < len(data):
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError("No space left on device")
        except OSError as error:
            raise InputError(
                f"manifest {self.path} could not be written ({error.strerror or error}); "
                "free some disk space and run the command again"
            ) from error


def _may_be_kept(path: Path) -> bool:
    """Return whether rows may be appended: to a file that gets no other output, or to the null device."""
    found = path.stat()
    if os.path.samestat(found, os.stat(os.devnull)):
        return True
    for output in (1, 2):
        with suppress(OSError):  # closed
            if os.path.samestat(found, os.fstat(output)):
                return False
    return stat.S_ISREG(found.st_mode)
