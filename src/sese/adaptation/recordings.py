"""A user's recordings: found, read, checked, and parted into those to learn from and those to stop by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.adaptation.voice import Voice, spread_semitones
from sese.audio.files import READABLE, probe, read_blocks
from sese.audio.resample import Resampler
from sese.core.errors import InputError, remedy
from sese.core.walk import files_below

MOST_HOURS = 4.0
"""All recordings are held in memory, with what the teacher makes of them."""

SILENCE_RMS = 10 ** (-70 / 20)
VOICED_SHARE = 0.05
"""A recording with fewer voiced frames is taken to be without speech."""

PIECE_SECONDS = 10.0
APART_SEMITONES = 8.0
"""Median pitches of pieces that lie further apart than those of most single speakers."""


@dataclass(frozen=True)
class Recording:
    """One file: its name, and float32 [time] at the rate that was asked for."""

    name: str
    audio: NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """A piece of a recording: its number, its first sample and its end."""

    recording: int
    begin: int
    end: int

    @property
    def samples(self) -> int:
        """Return the length in samples."""
        return self.end - self.begin


def read_recordings(folder: Path, sample_rate: int, shortest_s: float) -> tuple[list[Recording], list[str]]:
    """Read all audio of a folder and its subfolders, or one file; channels are averaged, rates converted.

    Args:
        folder: folder of the recordings.
        sample_rate: sample rate in Hz that they are converted to.
        shortest_s: recordings that are shorter are left out.

    Returns:
        The recordings, and a line on each file that was left out.

    Raises:
        InputError: nothing there, a damaged file, too much to hold, or nothing but short or silent files.
    """
    if folder.is_dir():
        found_files = files_below(folder, _refuse_closed)
        files = sorted(path for path in found_files if path.suffix.lower() in READABLE)
        if not files:
            raise InputError(f"{folder} holds no recordings; name a folder with audio files (WAV, FLAC, ...)")
    else:
        files = [folder]
    hours = sum(probe(path).duration for path in files) / 3600
    if hours > MOST_HOURS:
        raise InputError(
            f"{folder} holds {hours:.1f} hours of recordings; choose {MOST_HOURS:g} hours or fewer"
        )
    found, left_out = [], []
    for path in files:
        name = str(path.relative_to(folder)) if folder.is_dir() else path.name
        audio = _read(path, sample_rate)
        if len(audio) < shortest_s * sample_rate:
            left_out.append(
                f"{name} left out: {len(audio) / sample_rate:.1f} s, shorter than {shortest_s:g} s"
            )
        elif np.sqrt(np.mean(np.square(audio, dtype=np.float64))) < SILENCE_RMS:
            left_out.append(f"{name} left out: silent")
        else:
            found.append(Recording(name, audio))
    if not found:
        silent = sum("silent" in line for line in left_out)
        what = "silent" if silent == len(files) else f"shorter than {shortest_s:g} s, or silent"
        raise InputError(f"all {len(files)} recordings in {folder} are {what}; record speech of some minutes")
    return found, left_out


def _refuse_closed(error: OSError) -> None:
    raise InputError(f"folder {error.filename} cannot be listed ({error.strerror}); {remedy(error)}")


def _read(path: Path, sample_rate: int) -> NDArray[np.float32]:
    resampler = Resampler(probe(path).sample_rate, sample_rate, 1)
    parts = [
        resampler.feed(block.mean(axis=1, keepdims=True, dtype=np.float32))
        for block in read_blocks(path, 1 << 18)
    ]
    return np.concatenate([*parts, resampler.flush()])[:, 0]


def with_speech(
    folder: Path, recordings: Sequence[Recording], voices: Sequence[Voice], sample_rate: int, least_s: float
) -> tuple[list[int], list[str]]:
    """Return which recordings hold speech, by their voiced frames.

    Args:
        folder: they come from, for errors.
        recordings: all.
        voices: voice in the teacher's output for each recording.
        sample_rate: sample rate in Hz.
        least_s: seconds of recordings with speech that are needed.

    Returns:
        Numbers of those with speech, and a line on each of the others.

    Raises:
        InputError: none of them has speech, or too few seconds.
    """
    chosen = [number for number, voice in enumerate(voices) if voice.share >= VOICED_SHARE]
    left_out = [
        f"{recording.name} left out: no speech found"
        for number, recording in enumerate(recordings)
        if number not in chosen
    ]
    if not chosen:
        most = max(voice.share for voice in voices)
        raise InputError(
            f"no speech was found in {folder}: at most {most:.0%} of a recording's frames are voiced, speech "
            f"has {VOICED_SHARE:.0%} or more; give recordings of the user speaking"
        )
    seconds = sum(len(recordings[number].audio) for number in chosen) / sample_rate
    if seconds < least_s:
        raise InputError(
            f"{folder} holds {seconds:.1f} s of recordings with speech; give {least_s:g} s or more "
            "(the setting least_seconds)"
        )
    return chosen, left_out


def several_speakers(voices: Sequence[Voice]) -> str:
    """Return a warning where pieces differ in pitch more than most single speakers do; else empty."""
    spread = spread_semitones(voices)
    if spread <= APART_SEMITONES:
        return ""
    return (
        f"the pitch of the recordings differs by {spread:.0f} semitones: there may be several speakers, or "
        "one who is lively; the model adapts to whoever is in them"
    )


def pieces(recordings: Sequence[Recording], sample_rate: int, seconds: float = PIECE_SECONDS) -> list[Span]:
    """Cut recordings into pieces of equal length; a rest of less than half a piece joins the last."""
    length, made = round(seconds * sample_rate), []
    for number, recording in enumerate(recordings):
        count = max(1, round(len(recording.audio) / length))
        cuts = [each * length for each in range(count)] + [len(recording.audio)]
        made += [Span(number, begin, end) for begin, end in pairwise(cuts)]
    return made


def part(
    recordings: Sequence[Recording], sample_rate: int, held_out: float, seed: int
) -> tuple[list[Span], list[Span]]:
    """Return pieces to learn from, and pieces held out: whole recordings of five or more, else their parts.

    Args:
        recordings: all with speech.
        sample_rate: sample rate in Hz.
        held_out: share of the time to hold out.
        seed: seed of the choice.
    """
    whole = [Span(number, 0, len(recording.audio)) for number, recording in enumerate(recordings)]
    spans = whole if len(whole) >= 5 else pieces(recordings, sample_rate)
    if len(spans) < 5:
        spans = pieces(recordings, sample_rate, sum(span.samples for span in spans) / sample_rate / 5)
    wanted = held_out * sum(span.samples for span in spans)
    order = np.random.default_rng(seed).permutation(len(spans))
    held: list[int] = []
    for number in order[:-1]:
        if held and sum(spans[each].samples for each in held) >= wanted:
            break
        held.append(int(number))
    rest = [span for number, span in enumerate(spans) if number not in held]
    return rest, [spans[number] for number in sorted(held)]
