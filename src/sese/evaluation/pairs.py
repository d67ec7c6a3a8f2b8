"""Test material: pairs of a clean and a noisy file, found in a folder and read at 16 kHz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sese.audio.files import FORMAT_OF, READABLE, read_audio
from sese.core.errors import InputError
from sese.core.untrusted import read_table
from sese.evaluation.conversations import FILE, Activity, read_activity

SAMPLE_RATE = 16_000  # Hz, at which everything is enhanced and scored: what PESQ-WB and DNSMOS are defined at
LAYOUTS = (("clean", "noisy"), ("clean_testset_wav", "noisy_testset_wav"))  # ours, VoiceBank+DEMAND test


@dataclass(frozen=True)
class Pair:
    """A clean and a noisy file of one utterance; `snr_db` is the input SNR where a manifest gives it.

    `clean` is None for a recording that has no clean side. `activity` tells when there is speech in a
    conversation.
    """

    name: str
    clean: Path | None
    noisy: Path
    snr_db: float | None = None
    activity: Activity | None = None


def find_pairs(folder: str | Path, limit: int | None = None) -> list[Pair]:
    """Find the pairs in a folder, by name: `clean/` and `noisy/`, or the VoiceBank+DEMAND test set.

    Files pair by equal path inside the two folders. A `manifest.csv` beside them with the columns `file`
    and `snr_db` gives the input SNRs, an `activity.csv` when there is speech. `limit` takes that many pairs,
    spread evenly over the sorted names, so that a corpus sorted by speaker is not cut down to its first
    speaker.

    Raises:
        InputError: no such folder or layout, no pairs, a file without its counterpart, a bad manifest or
            activity.csv.
    """
    folder = Path(folder)
    if limit is not None and limit < 1:
        raise InputError(f"--limit: {limit} files asked for; give 1 or more")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with clean/ and noisy/ in it")
    for clean_name, noisy_name in LAYOUTS:
        if (folder / clean_name).is_dir() and (folder / noisy_name).is_dir():
            break
    else:
        raise InputError(
            f"{folder}: no clean/ and noisy/ (or clean_testset_wav/ and noisy_testset_wav/) in it"
        )
    clean, noisy = (_audio_files(folder / name) for name in (clean_name, noisy_name))
    if alone := sorted(clean.keys() ^ noisy.keys()):
        raise InputError(
            f"{folder}: {len(alone)} file(s) without a counterpart of the same name, first {alone[0]};"
            " remove them or add their counterparts"
        )
    if not clean:
        raise InputError(
            f"{folder}: no audio files in {clean_name}/; put {', '.join(sorted(FORMAT_OF))} there"
        )
    snrs = _read_snrs(folder / "manifest.csv")
    activities = read_activity(folder)
    if activities and (untold := sorted(clean.keys() - activities.keys())):
        raise InputError(f"{folder / FILE}: nothing about {untold[0]}; add its intervals, or remove the file")
    names = _spread(sorted(clean), limit)
    return [Pair(name, clean[name], noisy[name], snrs.get(name), activities.get(name)) for name in names]


def find_recordings(place: str | Path, limit: int | None = None) -> list[Pair]:
    """Find an audio file, or the audio files in a folder, by name, without clean sides.

    Args:
        place: a file, or a folder; hidden files are passed over.
        limit: take that many, spread evenly over the sorted names.

    Raises:
        InputError: nothing there, or no audio.
    """
    place = Path(place)
    if limit is not None and limit < 1:
        raise InputError(f"--limit: {limit} files asked for; give 1 or more")
    if place.is_file():
        return [Pair(place.name, None, place)]
    if not place.is_dir():
        raise InputError(f"{place}: no such file or folder")
    files = {
        name: path
        for name, path in _audio_files(place).items()
        if not any(part.startswith(".") for part in Path(name).parts)
    }
    if not files:
        raise InputError(f"{place}: no audio files in it; put {', '.join(sorted(FORMAT_OF))} there")
    return [Pair(name, None, files[name]) for name in _spread(sorted(files), limit)]


def _spread(names: list[str], limit: int | None) -> list[str]:
    if limit is None or limit >= len(names):
        return names
    return [names[index * len(names) // limit] for index in range(limit)]


def read_pair(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Read the clean and the noisy audio of a pair, float32 [time], resampled to 16 kHz.

    Of a recording without a clean side, the mean of its channels, twice.

    Raises:
        InputError: a file cannot be read, is not mono and finite, or is empty, or the two differ in length
            or rate.
    """
    if pair.clean is None:
        audio = _read_recording(pair.noisy)
        return audio, audio
    (clean, clean_rate), (noisy, noisy_rate) = _read(pair.clean), _read(pair.noisy)
    if (len(clean), clean_rate) != (len(noisy), noisy_rate):
        raise InputError(
            f"{pair.noisy}: {len(noisy)} samples at {noisy_rate} Hz, but its clean file has {len(clean)} at"
            f" {clean_rate} Hz; make the two equal"
        )
    if clean_rate != SAMPLE_RATE:
        import soxr

        clean, noisy = (soxr.resample(audio, clean_rate, SAMPLE_RATE) for audio in (clean, noisy))
    if not len(noisy):
        raise InputError(f"{pair.noisy}: too short to be a sample at {SAMPLE_RATE} Hz; leave the pair out")
    return clean, noisy


def _audio_files(folder: Path) -> dict[str, Path]:
    files = (path for path in folder.rglob("*") if path.suffix.lower() in READABLE)
    return {path.relative_to(folder).as_posix(): path for path in files}


def _read(path: Path) -> tuple[np.ndarray, int]:
    audio, sample_rate = _read_channels(path)
    if audio.shape[1] != 1:
        raise InputError(f"{path}: {audio.shape[1]} channels; evaluation takes mono files")
    return audio[:, 0], sample_rate


def _read_recording(path: Path) -> np.ndarray:
    """Read the mean of the channels at 16 kHz: [time]."""
    audio, sample_rate = _read_channels(path)
    mono = audio.mean(axis=1)
    if sample_rate != SAMPLE_RATE:
        import soxr

        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE)
    if not len(mono):
        raise InputError(f"{path}: too short to be a sample at {SAMPLE_RATE} Hz; leave the file out")
    return mono


def _read_channels(path: Path) -> tuple[np.ndarray, int]:
    """Read finite samples [time, channel], and their rate in Hz."""
    return read_audio(path)


def _read_snrs(manifest: Path) -> dict[str, float]:
    """Read input SNRs in dB by file name; none where the manifest or its columns are missing."""
    if not manifest.is_file():
        return {}
    columns, rows = read_table(manifest)
    if not {"file", "snr_db"} <= set(columns):
        return {}
    snrs = {}
    for _, row in rows:
        try:
            if row["snr_db"]:
                snrs[row["file"]] = float(row["snr_db"])
        except ValueError:
            raise InputError(
                f"{manifest}: snr_db of {row['file']} is {row['snr_db']!r}; give a number in dB"
            ) from None
    return snrs
