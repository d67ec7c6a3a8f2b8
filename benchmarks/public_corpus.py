"""Build a corpus of speech and noise at 16 kHz from public repositories and Debian packages.

    python benchmarks/public_corpus.py repositories packages corpora/public --also corpus/train

`repositories` has a folder OWNER+NAME for each cloned repository, `packages` a folder for each unpacked
package. The commands that fetch the missing ones are printed. The sources, with their licences and filters,
are the table in benchmarks/public_corpus_sources.py.

Each file is decoded, mixed to one channel and resampled. Speech is kept if it has the SNR of the table, a
band of 6 kHz, a level of -45 dBFS, and no clipping. Silence at its ends is left out, and long recordings are
cut in pauses. Noise is kept whatever it is, except silence; short events and key strokes are joined.

The corpus has `clean/SOURCE/SPEAKER/`, `noise/CATEGORY/`, and with --also `rir/`; `manifest.csv` names the
origin and the licence of each file. With --full-band, recordings of speech that reach beyond 12 kHz, and
noise of 44.1 kHz and more, are also written at 48 kHz, in two corpora: of 19 in 20 speakers and noises, and
of the rest, for validation.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

import public_corpus_audio as audio
from public_corpus_audio import FULL_RATE, RATE, Audio
from public_corpus_sources import SOURCES, Source
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.data.selection import DEFAULTS, Limits, judge, measure

WORD_SECONDS = 1.5  # speech shorter than this counts as words
WORD_MINUTES = 4.0  # of a speaker
FULL_BAND_HZ = 12_000.0
LOWEST_FULL_RATE = 44_100
VALIDATION_SHARE = 20  # one in so many speakers and noises of the full band
MIN_SNR_DB = 30.0  # of the further corpus, where its manifest tells
LIMITS = Limits(min_seconds=0.4)
NOISE_LIMITS = replace(DEFAULTS["noise"], min_seconds=0.2, max_clipped=sys.maxsize)
TYPING = 12, 40.0  # recordings, seconds
EVENTS_SECONDS = 8.0
SEED = 7
COLUMNS = ("path", "kind", "source", "group", "seconds", "snr_db", "licence", "origin")


@dataclass
class Output:
    """Folders that are written, and what they have.

    Attributes:
        corpus: Folder of the corpus at 16 kHz.
        full: Folders for recordings at 48 kHz, to train and to validate; none: they are not written.
        rows: Rows of the manifest.
        dropped: Number of files by source and reason.
        seconds: Speech by speaker, and by speaker and `words`.
    """

    corpus: Path
    full: tuple[Path, ...] = ()
    rows: list[dict[str, str]] = field(default_factory=list)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: defaultdict[tuple[str, ...], float] = field(default_factory=lambda: defaultdict(float))

    def write(self, name: Path, low: Audio, full: Audio | None, source: Source, **facts: object) -> None:
        """Write a recording, at 48 kHz too where there is such a signal.

        Args:
            name: Path below the corpus, without an extension.
            low: Samples at 16 kHz.
            full: Samples at 48 kHz.
            source: Source.
            facts: Further columns of the manifest.
        """
        write_flac(self.corpus / f"{name}.flac", low, RATE)
        row = {
            "path": f"{name}.flac",
            "kind": name.parts[0],
            "source": source.name,
            "group": name.parent.name,
        }
        row |= {"seconds": f"{len(low) / RATE:.3f}", "licence": source.licence}
        self.rows.append(row | {key: str(value) for key, value in facts.items()})
        if full is not None and self.full:
            write_flac(self.full[self._validates(name)] / f"{name}.flac", full, FULL_RATE)

    def _validates(self, name: Path) -> bool:
        """Return whether a speaker or a noise belongs to the validation set."""
        unit = name.parent.name if name.parts[0] == "clean" else name.name
        return zlib.crc32(unit.encode()) % VALIDATION_SHARE == 0


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repositories", type=Path, help="folder of cloned repositories, OWNER+NAME each")
    parser.add_argument("packages", type=Path, help="folder of unpacked Debian packages")
    parser.add_argument("output", type=Path, help="folder of the corpus, which must not exist")
    parser.add_argument("--also", type=Path, help="a further corpus, which is copied")
    parser.add_argument(
        "--full-band",
        type=Path,
        nargs=2,
        metavar=("TRAIN", "VAL"),
        help="folders for recordings at 48 kHz: to train, and of other speakers and noises to validate",
    )
    parser.add_argument("--skip-missing", action="store_true", help="build from what is there")
    options = parser.parse_args()
    try:
        build(**vars(options))
    except InputError as error:
        parser.error(str(error))


def build(
    repositories: Path,
    packages: Path,
    output: Path,
    also: Path | None = None,
    full_band: Sequence[Path] | None = None,
    skip_missing: bool = False,
    sources: Sequence[Source] = SOURCES,
) -> None:
    """Write the corpus and print what it has; see `main` for the arguments.

    Raises:
        InputError: Sources are missing, or a folder to write exists.
    """
    roots = {"github": repositories, "debian": packages}
    there = [(s, roots[s.place.split(":")[0]] / s.folder) for s in sources]
    missing = {source.place: source.command for source, root in there if not root.is_dir()}
    if missing:
        print(f"REPOSITORIES={repositories}; PACKAGES={packages}", *missing.values(), sep="\n")
        if not skip_missing:
            raise InputError(
                f"{len(missing)} sources are missing; fetch them as above, or use --skip-missing"
            )
    folders = [output, *(full_band or ())]
    for folder in folders:
        if folder.exists():
            raise InputError(f"{folder} is there already; give a new folder")
    with ExitStack() as stack:
        aside = [stack.enter_context(replacing(folder, folder=True)) for folder in folders]
        out = Output(aside[0], tuple(aside[1:]))
        if also:
            copy_corpus(also, out)
        for source, root in there:
            if root.is_dir():
                add(source, root, out)
                print(f"{source.name} from {source.place}: {amount(out.rows, source.name)}", flush=True)
        write_manifest(out)
        report = describe(out)
        (out.corpus / "REPORT.txt").write_text(report)
    print(report)


def add(source: Source, root: Path, out: Output) -> None:
    """Add the recordings of a source."""
    found = list(source.find(root))
    if source.kind == "speech":
        found.sort(key=lambda item: ("/intro/" not in item[0].as_posix(), zlib.crc32(item[0].name.encode())))
        for path, speaker in found:
            add_speech(path, path.relative_to(root), speaker, source, out)
    elif source.kind == "noise":
        for path, category in sorted(found):
            add_noise(read(path, source, out), path.stem, category, path.relative_to(root), source, out)
    else:
        add_joined(sorted(found), source, out)


def read(path: Path, source: Source, out: Output) -> tuple[Audio, int]:
    """Return the samples and the rate of a file; no samples if it cannot be read."""
    try:
        return audio.decode(path)
    except (InputError, OSError, RuntimeError, ValueError):
        out.dropped[source.name, "unreadable"] += 1
        return np.zeros(0, np.float32), RATE


def add_speech(path: Path, origin: Path, speaker: str, source: Source, out: Output) -> None:
    """Write the parts of a recording of speech that pass the filters and the caps."""
    if out.seconds[speaker,] >= 60 * source.cap_minutes:
        out.dropped[source.name, "cap"] += 1
        return
    signal, rate = read(path, source, out)
    if len(signal) < RATE // 10:
        return
    low = audio.resample(signal, rate, RATE)
    measures = audio.measure_speech(signal, low, rate)
    reasons = judge(measures, replace(LIMITS, min_snr_db=source.min_snr_db))
    parts = audio.cut(low, RATE, source.skip_seconds) if not reasons else []
    length = sum(end - begin for begin, end in parts)
    if parts and length < WORD_SECONDS:
        if out.seconds[speaker, "words"] >= 60 * WORD_MINUTES:
            reasons = ("words",)
        else:
            out.seconds[speaker, "words"] += length
    if reasons or not parts:
        out.dropped[source.name, reasons[0] if reasons else "short"] += 1
        return
    out.seconds[speaker,] += length
    full = None
    if out.full and rate >= LOWEST_FULL_RATE and measure(signal, rate).bandwidth_hz >= FULL_BAND_HZ:
        full = audio.without_rumble(audio.resample(signal, rate, FULL_RATE), FULL_RATE)
    low = audio.without_rumble(low, RATE)
    name = "_".join(origin.with_suffix("").parts[-3:])
    for number, seconds in enumerate(parts):
        out.write(
            Path("clean", source.name, speaker, f"{name}_{number}" if len(parts) > 1 else name),
            audio.part(low, RATE, seconds),
            None if full is None else audio.part(full, FULL_RATE, seconds),
            source,
            snr_db=f"{measures.snr_db:.1f}",
            origin=origin,
        )


def add_noise(
    recording: tuple[Audio, int], name: str, category: str, origin: Path | str, source: Source, out: Output
) -> None:
    """Write a recording of noise, unless it is silent."""
    signal, rate = recording
    if len(signal) == 0:
        return
    low = audio.resample(signal, rate, RATE)
    reasons = judge(measure(low, RATE), NOISE_LIMITS)
    if reasons:
        out.dropped[source.name, reasons[0]] += 1
        return
    full = audio.resample(signal, rate, FULL_RATE) if rate >= LOWEST_FULL_RATE else None
    out.write(Path("noise", category, f"{source.name}_{name}"), low, full, source, origin=origin)


def add_joined(found: Sequence[tuple[Path, str]], source: Source, out: Output) -> None:
    """Write recordings that are joined from short sounds."""
    rng = np.random.default_rng([SEED, zlib.crc32(source.name.encode())])
    sounds: dict[Path, Audio] = {}
    for path, _ in found:
        signal, rate = read(path, source, out)
        if len(signal) and np.abs(signal).max() > 1e-3:
            sounds[path] = audio.resample(signal, rate, FULL_RATE)
    if source.kind == "keys":
        keys = [
            (sounds[path], sounds[released])
            for path in sounds
            if path.stem.endswith("-1") and (released := path.with_name(f"{path.stem[:-1]}0.wav")) in sounds
        ]
        joined = [audio.type_text(keys, FULL_RATE, TYPING[1], rng) for _ in range(TYPING[0])] if keys else []
    else:
        joined = list(audio.join(list(sounds.values()), FULL_RATE, EVENTS_SECONDS, rng))
    for number, signal in enumerate(joined):
        origin = f"{len(sounds)} sounds, joined"
        add_noise((signal, FULL_RATE), f"{number:02d}", found[0][1], origin, source, out)


def copy_corpus(corpus: Path, out: Output) -> None:
    """Copy a corpus, without the speech whose SNR is below 30 dB in `speech_manifest.csv` beside it."""
    snr = {}
    if (manifest := corpus.parent / "speech_manifest.csv").is_file():
        with manifest.open(newline="", encoding="utf-8") as file:
            snr = {corpus.parent / row["path"]: float(row["snr_db"]) for row in csv.DictReader(file)}
    files = [
        p for kind in ("clean", "noise", "rir") for p in sorted((corpus / kind).rglob("*")) if p.is_file()
    ]
    if not files:
        raise InputError(f"{corpus} has no clean, noise or rir; give the folder of a corpus")
    for path in files:
        name = path.relative_to(corpus)
        if snr.get(path, MIN_SNR_DB) < MIN_SNR_DB:
            out.dropped["also", "snr"] += 1
            continue
        target = out.corpus / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        seconds = soundfile.info(path).duration
        out.rows.append(
            {"path": name.as_posix(), "kind": name.parts[0], "source": "also", "group": path.parent.name}
            | {"seconds": f"{seconds:.3f}", "licence": f"see {corpus.name}", "origin": str(path)}
            | {"snr_db": f"{snr[path]:.1f}" if path in snr else ""}
        )
        if name.parts[0] == "clean":
            out.seconds[path.parent.name,] += seconds


def write_flac(path: Path, signal: Audio, rate: int) -> None:
    """Write 16 bits; little compression is much faster and costs few bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()  # libsndfile writes a file in small parts
    soundfile.write(encoded, audio.fitted(signal), rate, "PCM_16", format="FLAC", compression_level=0.0)
    path.write_bytes(encoded.getbuffer())


def write_manifest(out: Output) -> None:
    """Write `manifest.csv`."""
    with (out.corpus / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(out.rows)


def amount(rows: Iterable[dict[str, str]], source: str) -> str:
    """Return the hours and groups of a source."""
    own = [row for row in rows if row["source"] == source]
    hours = sum(float(row["seconds"]) for row in own) / 3600
    return f"{hours:.2f} h, {len({row['group'] for row in own})} groups, {len(own)} files"


def describe(out: Output) -> str:
    """Return hours, groups and dropped files as lines of text."""
    lines = []
    for kind in ("clean", "noise", "rir"):
        own = [row for row in out.rows if row["kind"] == kind]
        hours = sum(float(row["seconds"]) for row in own) / 3600
        lines.append(f"{kind}: {hours:.2f} h, {len({row['group'] for row in own})} groups, {len(own)} files")
        lines += [f"  {source}: {amount(own, source)}" for source in dict.fromkeys(r["source"] for r in own)]
    lines.append("left out: " + ", ".join(f"{s} {r} {n}" for (s, r), n in sorted(out.dropped.items())))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
