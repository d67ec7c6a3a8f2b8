"""Compare what is left above 8 kHz of speech and noise at 48 kHz, where models for 16 kHz hear nothing.

    python benchmarks/full_band.py corpus/speech corpus/noise                # the default model
    python benchmarks/full_band.py corpus/speech corpus/noise --rnnoise --deepfilternet -o report

SPEECH and NOISE are folders of sound at 48 kHz. A clip is speech from one folder of files (one talker) with
half a second of silence between the files. Clips without sibilants above 8.5 kHz are passed over. Noises are
white hiss, babble of six other talkers, and each subfolder of NOISE. Rows: `head` is the network of
the runtime, `model's gain` has the gain of the model below in all bands above, `drop` removes these bands.

Noise is measured in pauses, and under speech: in frames of speech that has nothing above 8.5 kHz. Sibilants
are the 5% of the frames with the most speech there. All levels are in dB of the input, so 0 is right for
sibilants. LSD is the log-spectral distance from the clean speech, and SI-SDR its signal-to-distortion ratio,
above 8.5 kHz and over the whole band.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Annotated
from unittest.mock import patch

import numpy as np
import soundfile
import typer
from numpy.typing import NDArray

import deepfilternet
import rnnoise
from exit_codes import exit_code
from full_band_scores import COLUMNS, RATE, SIBILANT, above, scores
from sese.audio.files import READABLE
from sese.core.errors import InputError
from sese.core.tables import table
from sese.core.walk import files_below
from sese.evaluation import report
from sese.runtime.enhancer import Enhancer
from sese.runtime.model_gain import UPPER

Audio = NDArray[np.float32]
System = Callable[[Audio], Audio]

SPEECH_RMS = 0.05
PAUSE_SECONDS = 0.5
BABBLE = 6
"""Number of talkers."""

LEAST_DB = -30.0
"""Level above 8.5 kHz of the frames with the most of it, relative to the whole, that a clip needs."""

TRIES = 20
"""Number of clips that are drawn for each one that is asked for."""

ROUNDS = 5
TIMED_SECONDS = 10
CHUNK = 480  # samples, 10 ms


class Talkers:
    """Files of speech by the folder that they lie in.

    Raises:
        InputError: There are too few.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[Path, list[Path]] = {}
        for path in audio_files(folder):
            self._files.setdefault(path.parent, []).append(path)
        if len(self._files) <= BABBLE:
            raise InputError(
                f"{folder} has files in {len(self._files)} folder(s); give one with {BABBLE + 1} talkers or "
                "more, each in a folder of its own"
            )

    def draw(self, random: np.random.Generator, count: int, without: Path | None = None) -> list[Path]:
        """Return the folders of different talkers."""
        others = [folder for folder in sorted(self._files) if folder != without]
        return [others[number] for number in random.choice(len(others), count, replace=False)]

    def clip(self, random: np.random.Generator, seconds: float, talker: Path) -> Audio:
        """Return speech of one talker with pauses, [time]."""
        files = self._files[talker]
        parts: list[Audio] = [np.zeros(round(PAUSE_SECONDS * RATE), np.float32)]
        while sum(map(len, parts)) < seconds * RATE:
            speech = read(files[random.integers(len(files))])
            level = float(np.sqrt(np.mean(np.square(speech)))) or 1.0
            parts += [speech * np.float32(SPEECH_RMS / level), parts[0]]
        return np.concatenate(parts)[: round(seconds * RATE)]

    def clips(self, random: np.random.Generator, seconds: float, count: int) -> list[tuple[Path, Audio]]:
        """Return clips that have speech above 8.5 kHz, and their talkers.

        Raises:
            InputError: There are none.
        """
        found: list[tuple[Path, Audio]] = []
        for _ in range(TRIES * count):
            (talker,) = self.draw(random, 1)
            clip = self.clip(random, seconds, talker)
            power = np.square(above(clip)[: len(clip) // 960 * 960]).reshape(-1, 960).mean(axis=1)
            loudest = np.sort(power)[-max(1, round(SIBILANT * len(power))) :].mean()
            if loudest > np.mean(np.square(clip)) * 10 ** (LEAST_DB / 10):
                found.append((talker, clip))
            if len(found) == count:
                break
        if not found:
            raise InputError("no clip has speech above 8.5 kHz; give speech recorded at 48 kHz")
        return found


class ModelGain:
    """The rule that gives each band above the gain of the model below, in place of `BandHead`."""

    def __init__(self, seconds: float) -> None:
        pass

    def reset(self) -> None:
        """Do nothing."""

    def __call__(self, above: Audio, heard: Audio, left: Audio) -> Audio:
        """Return the gain of the model in the upper part of its band for each band."""
        power, had = (side[..., UPPER:].mean(axis=-1, keepdims=True) for side in (left, heard))
        gain = np.sqrt(np.minimum(power / np.maximum(had, 1e-20), 1))
        return np.broadcast_to(gain, above.shape)


def audio_files(folder: Path) -> list[Path]:
    """Return the sound files below a folder.

    Raises:
        InputError: There is no folder, or none are there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one of sound at 48 kHz")
    found = sorted(path for path in files_below(folder, _raise) if path.suffix.lower() in READABLE)
    if not found:
        raise InputError(f"{folder} has no sound files in it; give a folder of sound at 48 kHz")
    return found


def _raise(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be listed ({error.strerror}); check its permissions")


def read(path: Path) -> Audio:
    """Return the first channel of a file at 48 kHz.

    Raises:
        InputError: It cannot be read, is silent, or has another rate.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it") from None
    if rate != RATE:
        raise InputError(f"{path} is at {rate} Hz; give sound at {RATE} Hz")
    return np.asarray(audio[:, 0])


def noise_files(folder: Path, kinds: Sequence[str] | None) -> dict[str, list[Path]]:
    """Return the files of noise by the subfolder that they lie in.

    Args:
        folder: Folder with subfolders.
        kinds: Subfolders to use; None for all.

    Raises:
        InputError: One of these does not exist, or there is no sound.
    """
    found: dict[str, list[Path]] = {}
    for path in audio_files(folder):
        parts = path.relative_to(folder).parts
        found.setdefault(parts[0] if len(parts) > 1 else folder.name, []).append(path)
    if missing := set(kinds or ()) - set(found):
        raise InputError(f"{folder} has no {min(missing)}; choose from {', '.join(sorted(found))}")
    return {kind: found[kind] for kind in kinds or found}


def noises(
    files_of: Mapping[str, Sequence[Path]],
    talkers: Talkers,
    talker: Path,
    random: np.random.Generator,
    seconds: float,
) -> dict[str, Audio]:
    """Return one clip of each noise for speech of a talker, [time] at any level."""
    length = round(seconds * RATE)
    others = talkers.draw(random, BABBLE, talker)
    made = {
        "hiss": random.normal(0, 1, length).astype(np.float32),
        "babble": np.sum([talkers.clip(random, seconds, other) for other in others], axis=0),
    }
    for kind, files in files_of.items():
        parts_of: list[Audio] = []
        while sum(map(len, parts_of)) < length:
            parts_of.append(read(files[random.integers(len(files))]))
        made[kind] = np.concatenate(parts_of)[:length]
    return made


def mixed(clean: Audio, noise: Audio, snr_db: float) -> Audio:
    """Return the noise at a level for this SNR over the whole clip."""
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    wanted = float(np.mean(np.square(clean, dtype=np.float64))) * 10 ** (-snr_db / 10)
    return (noise * np.sqrt(wanted / max(power, 1e-20))).astype(np.float32)


def systems_of(models: Sequence[str], rnn: bool, deep: bool) -> dict[str, System]:
    """Return the systems to compare by the names of their rows."""
    found: dict[str, System] = {"input": lambda audio: audio}
    for name in models:
        enhancer = Enhancer(name)
        found[f"{name}, model's gain"] = _with_model_gain(enhancer)
        found[f"{name}, drop"] = lambda audio, one=enhancer: one.enhance(audio, RATE, band_above="drop")
        found[f"{name}, head"] = lambda audio, one=enhancer: one.enhance(audio, RATE)
    if rnn:
        found["RNNoise"] = lambda audio: moved(rnnoise.denoise, audio, rnnoise.delay())
    if deep:
        found["DeepFilterNet3"] = lambda audio: moved(deepfilternet.denoise, audio)
    return found


def moved(denoise: System, audio: Audio, delay: int | None = None) -> Audio:
    """Return an enhanced sound moved back by the delay of the system, measured on the sound unless given."""
    made = denoise(np.pad(audio, (0, 2 * deepfilternet.LONGEST_DELAY)))
    delay = deepfilternet.delay_of(audio, made) if delay is None else delay
    return made[delay : delay + len(audio)]


@contextmanager
def model_gain_above() -> Iterator[None]:
    """Let streams that are opened inside give the bands above the gain of the model below."""
    with patch("sese.runtime.band_above.BandHead", ModelGain):
        yield


def _with_model_gain(enhancer: Enhancer) -> System:
    def system(audio: Audio) -> Audio:
        with model_gain_above():
            return enhancer.enhance(audio, RATE)

    return system


def measure(
    systems: Mapping[str, System],
    clips: Sequence[Audio],
    kinds: Sequence[Mapping[str, Audio]],
    snrs: Sequence[float],
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean scores by case, system and column; NaN where no clip has a value."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number, (clean, noise) in enumerate(zip(clips, kinds, strict=True)):
        print(f"clip {number + 1} of {len(clips)}", file=sys.stderr, flush=True)
        cases = {"clean": np.zeros_like(clean)}
        for kind, audio in noise.items():
            cases |= {f"{kind}, {snr:g} dB": mixed(clean, audio, snr) for snr in snrs}
        for case, added in cases.items():
            for name, system in systems.items():
                row = scores(clean, added, system(clean + added))
                found.setdefault(case, {}).setdefault(name, []).append(row)
    return {case: {name: _mean(rows) for name, rows in of.items()} for case, of in found.items()}


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    means = {}
    for column in COLUMNS:
        values = [row[column] for row in rows if np.isfinite(row[column])]
        means[column] = float(np.mean(values)) if values else float("nan")
    return means


def times(model: str, clip: Audio) -> dict[str, float]:
    """Return the CPU time of a stream at 48 kHz in chunks of 10 ms, as a share of the signal's duration.

    It is the least of several rounds.
    """
    enhancer, audio = Enhancer(model), np.resize(clip, TIMED_SECONDS * RATE)

    def run(choice: str) -> float:
        stream = enhancer.stream(RATE, band_above=choice)  # type: ignore[arg-type]
        start = process_time()
        for at in range(0, len(audio), CHUNK):
            stream.feed(audio[at : at + CHUNK])
        return (process_time() - start) / TIMED_SECONDS

    found: dict[str, list[float]] = {"drop": [], "model's gain": [], "head": []}
    for _ in range(ROUNDS):
        found["drop"].append(run("drop"))
        with model_gain_above():
            found["model's gain"].append(run("follow"))
        found["head"].append(run("follow"))
    return {name: min(values) for name, values in found.items()}


def as_table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return a Markdown table with a row for each case and system."""
    rows = []
    for case, systems in found.items():
        for name, values in systems.items():
            cells = [f"{values[column]:.1f}" if np.isfinite(values[column]) else "" for column in COLUMNS]
            rows.append([case, name, *cells])
    return "\n".join(table(["case", "system", *COLUMNS], rows))


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def full_band(
    speech: Annotated[Path, typer.Argument(help="Folder of clean speech at 48 kHz.", show_default=False)],
    noise: Annotated[Path, typer.Argument(help="Folder of noise at 48 kHz.", show_default=False)],
    model: Annotated[list[str] | None, typer.Option(help="Model; may be repeated. [default: sese-2]")] = None,
    rnn: Annotated[bool, typer.Option("--rnnoise", help="Compare with RNNoise.")] = False,
    deep: Annotated[bool, typer.Option("--deepfilternet", help="Compare with DeepFilterNet3.")] = False,
    kind: Annotated[
        list[str] | None, typer.Option(help="Subfolder of NOISE to use; may be repeated. [default: all]")
    ] = None,
    snr: Annotated[list[float] | None, typer.Option(help="SNR in dB; may be repeated. [default: 15]")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Number of clips of speech.")] = 8,
    seconds: Annotated[float, typer.Option(min=3, help="Length of a clip in seconds.")] = 12.0,
    seed: Annotated[int, typer.Option(help="Seed of the clips.")] = 0,
    timed: Annotated[bool, typer.Option("--times", help="Measure the time of streams as well.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out-dir", help="Write full_band.md there.")] = None,
) -> None:
    """Print how much of speech and noise is left above 8 kHz at 48 kHz."""
    models = model or ["sese-2"]
    random = np.random.default_rng(seed)
    talkers = Talkers(speech)
    chosen = talkers.clips(random, seconds, clips)
    files = noise_files(noise, kind)
    added = [noises(files, talkers, talker, random, seconds) for talker, _ in chosen]
    clean = [clip for _, clip in chosen]
    text = as_table(measure(systems_of(models, rnn, deep), clean, added, snr or [15.0])) + "\n"
    if timed:
        for name in models:
            shares = ", ".join(f"{row} {100 * share:.2f}%" for row, share in times(name, clean[0]).items())
            text += f"\nCPU time of a stream of {name}, of the signal's duration: {shares}\n"
    print(text, end="")
    if out is not None:
        report.make_folder(out)
        report.write_files(out, "full_band", {"md": text})


def main() -> None:
    """Run the command; exit codes: 0 done, 2 bad usage or input, 130 interrupted."""
    sys.exit(exit_code("full_band", app))


if __name__ == "__main__":
    main()
