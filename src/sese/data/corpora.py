"""Search of folders for clean speech, noise, room responses, and pairs of clean and noisy files.

`scan` reads only headers, and the samples of floating-point files, which may be NaN. It takes about a second
for ten thousand files. Five layouts are understood:

- a corpus root: `clean/<source>/<speaker>/*` or `clean/<speaker>/*`, `noise/<category>/*`, `rir/*`
  (`speech/` is an alias of `clean/`);
- VoiceBank+DEMAND as published: `clean_trainset_28spk_wav/`, `noisy_testset_wav/`, ...;
- a paired folder: `clean/*` and `noisy/*` with equal file names;
- LibriSpeech and LibriTTS as published, anywhere in a folder: `<speaker>/<chapter>/<speaker>-<chapter>-*`;
- any other folder of audio, whose kind the caller gives (default: speech).
"""

from __future__ import annotations

import filecmp
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sese.audio.files import READABLE, UNREADABLE, probe, read_audio, unreadable
from sese.core.errors import InputError, brief
from sese.core.untrusted import read_table
from sese.core.walk import files_below

Kind = Literal["speech", "noise", "rir"]
Split = Literal["train", "test"]
KINDS: tuple[Kind, ...] = ("speech", "noise", "rir")
SELECTION = "selection.csv"  # the manifest of `sese data select`
UNKNOWN = "unknown"  # group of speech whose speaker is unknown

_FOLDERS: dict[str, Kind] = {"clean": "speech", "speech": "speech", "noise": "noise", "rir": "rir"}
_VOICEBANK = re.compile(r"^(clean|noisy)_(train|test)set(?:_(\d+spk))?(?:_wav)?$")
_VOICEBANK_SPEAKER = re.compile(r"^(p\d{3})_\d")
_LIBRI = re.compile(r"(?:^|/)(\d+)/(\d+)/\1[-_]\2[-_]\d[^/]*$")  # speaker, chapter


@dataclass(frozen=True)
class Recording:
    """A readable audio file.

    Attributes:
        path: File.
        group: Speaker or noise category.
        frames: Samples per channel.
        sample_rate: Sample rate in Hz.
        kind: Speech, noise or room response.
        subtract: File of the same rate and length to subtract. Noise is noisy speech minus clean speech.
    """

    path: Path
    group: str
    frames: int
    sample_rate: int
    kind: Kind
    subtract: Path | None = None

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


@dataclass(frozen=True)
class Problem:
    """A file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Corpus:
    """Recordings of one or more folders.

    Attributes:
        speech, noise, rir: Recordings of each kind.
        pairs: Pairs of a clean and a noisy recording. The clean recordings are in `speech` too.
        problems: Files that cannot be used, and why.
        licences: Files with a licence.
        dropped: Files that `selection.csv` leaves out, and why.
    """

    speech: tuple[Recording, ...] = ()
    noise: tuple[Recording, ...] = ()
    rir: tuple[Recording, ...] = ()
    pairs: tuple[tuple[Recording, Recording], ...] = ()
    problems: tuple[Problem, ...] = ()
    licences: tuple[Path, ...] = ()
    dropped: tuple[Problem, ...] = ()

    def __add__(self, other: Corpus) -> Corpus:
        """Return the recordings of both."""
        return Corpus(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def scan(
    folder: Path | str, role: Kind | None = None, split: Split | None = None, selection: bool = True
) -> Corpus:
    """Find the recordings in a folder and its subfolders.

    Files that cannot be read, are empty or have non-finite samples are listed in `problems`. Hidden files and
    files without an audio extension are ignored.

    Args:
        folder: Folder to search.
        role: Kind of every audio file, whatever the names of the folders. None: the layout decides.
        split: Half of a VoiceBank+DEMAND folder to read. None: both. Other layouts ignore it.
        selection: Whether to leave out the files that `selection.csv` in the folder drops, see
            `sese data select`.

    Raises:
        InputError: The folder does not exist, or its `selection.csv` is damaged.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"corpus: {root} is not a folder; give the folder that holds the audio files")
    if role is not None and role not in KINDS:
        raise InputError(f"corpus role: got {role!r}; give one of {', '.join(KINDS)}")
    licences = tuple(sorted(p for p in root.iterdir() if re.search(r"licen[cs]e|copying", p.name, re.I)))
    if role is not None:
        found = _records(root, role)
    elif any(_VOICEBANK.match(child.name) for child in root.iterdir() if child.is_dir()):
        found = _voicebank(root, split)
    elif (root / "clean").is_dir() and (root / "noisy").is_dir():
        found = _paired(root / "clean", root / "noisy") + _by_role(root, without="clean")
    elif has_layout(root):
        found = _by_role(root)
    else:
        found = _records(root, "speech")
    if selection and (root / SELECTION).exists():
        found = _selected(found, root)
    return found + Corpus(licences=licences)


def has_layout(root: Path) -> bool:
    """Return whether the names of the subfolders tell speech, noise and room responses apart."""
    return any((root / name).is_dir() for name in _FOLDERS)


def _selected(found: Corpus, root: Path) -> Corpus:
    """Return the recordings and pairs without the files that `selection.csv` drops."""
    rows = read_selection(root / SELECTION)
    reasons = {row["path"]: row["reason"] for row in rows if row["verdict"] == "drop"}

    def keep(record: Recording) -> bool:
        return manifest_path(record.path, root) not in reasons

    sides = (record for pair in found.pairs for record in pair)
    every = (*found.speech, *found.noise, *found.rir, *sides)
    dropped = sorted({record.path for record in every if not keep(record)})
    return replace(
        found,
        speech=tuple(filter(keep, found.speech)),
        noise=tuple(filter(keep, found.noise)),
        rir=tuple(filter(keep, found.rir)),
        pairs=tuple(pair for pair in found.pairs if all(map(keep, pair))),
        dropped=tuple(Problem(path, reasons[manifest_path(path, root)]) for path in dropped),
    )


def read_selection(manifest: Path) -> list[dict[str, str]]:
    """Return the rows of a `selection.csv`, each with at least the columns path, verdict and reason.

    Raises:
        InputError: The manifest is damaged.
    """
    columns, rows = read_table(manifest)
    lacking = [name for name in ("path", "verdict", "reason") if name not in columns]
    if lacking:
        raise InputError(
            f"{manifest} lacks the column {lacking[0]}; write it again with `sese data select`, or delete it"
        )
    for line, row in rows:
        if row["verdict"] not in ("keep", "drop") or not row["path"]:
            raise InputError(
                f"{manifest}, line {line}: path {brief(row['path'])}, verdict {brief(row['verdict'])}; "
                "give each row a path and the verdict keep or drop"
            )
    return [row for _, row in rows]


def manifest_path(path: Path, root: Path) -> str:
    """Return the path of a file relative to `root`, with forward slashes, as `selection.csv` writes it."""
    return as_utf8(path.relative_to(root).as_posix())


def as_utf8(name: str) -> str:
    """Return the name of a file or folder as valid UTF-8, with escapes for invalid bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_disjoint(train: Corpus, val: Corpus) -> None:
    """Check that two corpora have no speaker and no recording in common.

    Speakers are compared by name, except unknown ones. Recordings are the same if file name and content are
    equal.

    Raises:
        InputError: A speaker or a recording is in both.
    """
    speakers = {r.group for r in train.speech} & {r.group for r in val.speech} - {UNKNOWN}
    if speakers:
        raise InputError(
            f"validation speech: {_first_names(speakers)} in the training speech too; "
            "keep each speaker in one of the two, or validation measures memory"
        )
    for kind in KINDS:
        known: dict[tuple[str, int], list[Path]] = defaultdict(list)
        for record in getattr(train, kind):
            known[_name_and_size(record)].append(record.path)
        shared = {
            record.path.name
            for record in getattr(val, kind)
            for twin in known.get(_name_and_size(record), ())
            if filecmp.cmp(record.path, twin, shallow=False)
        }
        if shared:
            raise InputError(
                f"validation {kind}: {_first_names(shared)} in the training {kind} too (the same file); "
                "keep each recording in one of the two"
            )


def _name_and_size(record: Recording) -> tuple[str, int]:
    return record.path.name, record.path.stat().st_size


def _first_names(names: Iterable[str], most: int = 3) -> str:
    """Return the first names in alphabetical order and the number of others, followed by "is" or "are"."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return f"{', '.join(ordered[:most])}{more} {'is' if len(ordered) == 1 else 'are'}"


def _by_role(root: Path, without: str = "") -> Corpus:
    """Return the recordings of subfolders that are named by kind, except the subfolder `without`."""
    found = Corpus()
    for name, kind in _FOLDERS.items():
        if name != without and (root / name).is_dir():
            found += _records(root / name, kind)
    return found


def _voicebank(root: Path, split: Split | None) -> Corpus:
    """Return the recordings of a VoiceBank+DEMAND folder."""
    sides: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for child in sorted(root.iterdir()):
        match = _VOICEBANK.match(child.name)
        if match and child.is_dir() and split in (None, match[2]):
            sides[match[2], match[3] or ""][match[1]] = child
    found = Corpus()
    for both in sides.values():
        if len(both) == 2:
            found += _paired(both["clean"], both["noisy"])
        elif "clean" in both:
            found += _records(both["clean"], "speech")
    return found


def _paired(clean_root: Path, noisy_root: Path) -> Corpus:
    """Return the pairs of files with the same relative path; a file without a partner is a problem."""
    clean, noisy = _records(clean_root, "speech"), _records(noisy_root, "speech")
    partner = {r.path.relative_to(noisy_root): r for r in noisy.speech}
    pairs, problems = [], list(clean.problems + noisy.problems)
    for record in clean.speech:
        other = partner.pop(record.path.relative_to(clean_root), None)
        if other is None:
            problems.append(Problem(record.path, f"no noisy file of this name in {noisy_root}"))
        elif (other.frames, other.sample_rate) != (record.frames, record.sample_rate):
            problems.append(Problem(other.path, f"length or sample rate differs from {record.path}"))
        else:
            pairs.append((record, other))
    problems += [Problem(r.path, f"no clean file of this name in {clean_root}") for r in partner.values()]
    return Corpus(speech=clean.speech, pairs=tuple(pairs), problems=tuple(problems))


def _records(root: Path, kind: Kind) -> Corpus:
    """Return all audio files below a folder, as recordings of one kind."""
    records: list[Recording] = []
    problems: list[Problem] = []
    closed: list[OSError] = []
    for path in sorted(files_below(root, closed.append)):
        if path.suffix.lower() in UNREADABLE:
            problems.append(Problem(path, unreadable(path).removeprefix(f"{path} ")))
        if path.suffix.lower() not in READABLE:
            continue
        try:
            frames, rate = _length_and_rate(path)
        except (OSError, RuntimeError, ValueError) as error:
            problems.append(Problem(path, " ".join(str(error).removeprefix(f"{path} ").split())))
        else:
            records.append(Recording(path, _group(path, root, kind), frames, rate, kind))
    problems += [Problem(Path(e.filename), f"folder cannot be listed ({e.strerror})") for e in closed]
    return Corpus(problems=tuple(problems), **{kind: tuple(records)})  # type: ignore[arg-type]


def _group(path: Path, root: Path, kind: Kind) -> str:
    """Return the speaker or noise category of a file, from its path."""
    libri = _LIBRI.search(path.as_posix()) if kind == "speech" else None
    if libri:
        return libri[1]
    if path.parent != root:
        return path.parent.name
    if kind != "speech":
        return root.name
    match = _VOICEBANK_SPEAKER.match(path.name)
    return match[1] if match else UNKNOWN


def _length_and_rate(path: Path) -> tuple[int, int]:
    """Return the samples per channel and the sample rate in Hz of a file.

    Raises:
        ValueError: The file cannot be read, or has non-finite samples.
    """
    info = probe(path)
    if info.subtype in ("FLOAT", "DOUBLE"):
        read_audio(path)
    return info.frames, info.sample_rate
