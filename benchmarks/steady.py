"""Test whether models keep the level of speech after loud sounds, after digital silence, and over offsets and
hum.

    python benchmarks/steady.py                               # every bundled model, on a bundled recording
    python benchmarks/steady.py --model MODEL speech.wav other.wav

A model with a running level may attenuate quiet speech long after a loud sound. Each case is a recording of
speech after, or under, such a disturbance. The output is compared with that of the same speech alone. The
gain is the projection of the first on the second, so 0 dB is right, and sounds that are added to the speech
do not count. It is measured for the first 0.2 s of the speech, then up to 1 s, and from there.

The line is a different measure: how far the strongest bin of the output exceeds the bins around it for white
noise, near frequencies where networks on bands change the width of their bands.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import soxr
import typer
from numpy.typing import NDArray

from exit_codes import exit_code
from sese.core.errors import InputError
from sese.core.tables import table
from sese.runtime.artefact import Artefact, bundled_models, open_artefact
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

Audio = NDArray[np.float32]
Case = Callable[[Audio, int], tuple[Audio, Audio, int]]
"""Makes of speech [time] and its rate in Hz: what is heard, the speech alone, and where it begins."""

RECORDING = Path(__file__).parents[1] / "examples" / "dryer.wav"
SECONDS = 4.0
"""Length of the speech."""

WINDOWS = {"to 0.2 s": (0.0, 0.2), "to 1 s": (0.2, 1.0), "from 1 s": (1.0, SECONDS)}
SEAM_HZ = 4000.0


def at_level(audio: Audio, dbfs: float) -> Audio:
    """Return a sound with this RMS, in dB relative to full scale."""
    return (audio * (10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(audio, dtype=np.float64))))).astype(
        np.float32
    )


def music(rate: int, seconds: float = 3.0) -> Audio:
    """Return chords of decaying notes with harmonics, a new one every third of a second."""
    time = np.arange(round(seconds * rate)) / rate
    total = np.zeros(len(time))
    for beat in range(round(3 * seconds)):
        since = time - beat / 3
        envelope = np.where(since >= 0, np.exp(-2 * since.clip(0)) * (1 - np.exp(-200 * since.clip(0))), 0)
        for semitones in (0, 4 - beat % 2, 7, 12 + beat % 3):
            hertz = 220 * 2 ** ((semitones + (0, 5, 7)[beat % 3]) / 12)
            for harmonic in range(1, 7):
                total += envelope * np.sin(2 * np.pi * harmonic * hertz * since) / harmonic
    return total.astype(np.float32)


def sine(hertz: float, amplitude: float, time: int, rate: int) -> Audio:
    """Return a sine, [time]."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(time) / rate)).astype(np.float32)


def behind(before: Callable[[Audio, int], Audio], dbfs: float | None = None) -> Case:
    """Return a case with a sound before the speech.

    Args:
        before: Returns the sound for the speech and its sample rate.
        dbfs: Level of the speech; None: unchanged.
    """

    def case(speech: Audio, rate: int) -> tuple[Audio, Audio, int]:
        first = before(speech, rate)
        speech = speech if dbfs is None else at_level(speech, dbfs)
        return np.concatenate([first, speech]), speech, len(first)

    return case


def over(added: Callable[[int, int], Audio | float], dbfs: float) -> Case:
    """Return a case with a sound during the speech.

    Args:
        added: Returns the sound for a number of samples and a sample rate.
        dbfs: Level of the speech.
    """

    def case(speech: Audio, rate: int) -> tuple[Audio, Audio, int]:
        speech = at_level(speech, dbfs)
        return (speech + added(len(speech), rate)).astype(np.float32), speech, 0

    return case


CASES: Mapping[str, Case] = {
    "music at -12, speech at -26 dBFS": behind(lambda _, rate: at_level(music(rate), -12), -26),
    "music at -12, speech at -40 dBFS": behind(lambda _, rate: at_level(music(rate), -12), -40),
    "talker at -15, speech at -40 dBFS": behind(lambda speech, rate: at_level(speech, -15)[: 3 * rate], -40),
    "beep at -12, speech at -40 dBFS": behind(lambda _, rate: sine(1000, 0.355, rate, rate), -40),
    "2 s of zeros": behind(lambda _, rate: np.zeros(2 * rate, np.float32)),
    "speech at -45 dBFS, offset 0.02": over(lambda time, rate: 0.02, -45),
    "speech at -45 dBFS, offset 0.05": over(lambda time, rate: 0.05, -45),
    "speech at -45 dBFS, 50 Hz at -26 dBFS": over(lambda time, rate: sine(50, 0.07, time, rate), -45),
}


def enhance(model: Artefact, audio: Audio, budget: str) -> Audio:
    """Return a sound [time] enhanced by a model from its initial state, aligned with the input."""
    stream = Stream(model, EnhanceOptions(budget))
    return np.concatenate([stream.feed(audio), stream.flush()])


def gains(out: Audio, fresh: Audio, rate: int) -> list[float]:
    """Return the gain in dB relative to the output for speech alone, in each of `WINDOWS`; at least -99."""
    found = []
    for first, last in WINDOWS.values():
        part = slice(round(first * rate), round(last * rate))
        one, other = out[part].astype(np.float64), fresh[part].astype(np.float64)
        gain = np.dot(one, other) / max(np.dot(other, other), 1e-20)
        found.append(20 * np.log10(max(gain, 10 ** (-99 / 20))))
    return found


def measure(
    model: Artefact, speech: Audio, budget: str = "1", only: Sequence[str] = ()
) -> dict[str, list[float]]:
    """Return the gains of all or some cases, for speech [time] at the rate of the model."""
    rate, found = model.card.sample_rate, {}
    for name in only or CASES:
        heard, alone, begin = CASES[name](speech, rate)
        out = enhance(model, heard, budget)[begin:]
        found[name] = gains(out, enhance(model, alone, budget), rate)
    return found


def line(model: Artefact, budget: str = "1", seconds: float = 8.0) -> float:
    """Return by how many dB the strongest bin within 100 Hz of the seam exceeds those within 500 Hz."""
    rate = model.card.sample_rate
    noise = np.random.default_rng(1).normal(0, 0.05, round(seconds * rate)).astype(np.float32)
    out = enhance(model, noise, budget)[rate:]
    frame = rate // 10  # 10 Hz a bin
    frames = out[: len(out) // frame * frame].reshape(-1, frame) * np.hanning(frame)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(axis=0)
    seam = round(SEAM_HZ / 10)
    around = np.r_[power[seam - 50 : seam - 10], power[seam + 11 : seam + 51]]
    return float(10 * np.log10(power[seam - 10 : seam + 11].max() / max(np.median(around), 1e-30)))


def read(path: Path, rate: int) -> Audio:
    """Return four seconds of the first channel of a recording from its first word on, at a rate in Hz.

    Raises:
        InputError: It is not a recording, or too short.
    """
    try:
        audio, own = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give recordings of speech") from None
    audio = np.asarray(soxr.resample(audio[:, 0], own, rate), np.float32)
    speech = audio[begin_of_speech(audio, rate) :][: round(SECONDS * rate)]
    if len(speech) < round(SECONDS * rate) or not speech.any():
        raise InputError(
            f"{path} is silent, or has less than {SECONDS:g} s from its first word on; give longer recordings"
        )
    return speech


def begin_of_speech(audio: Audio, rate: int) -> int:
    """Return the first sample of the first 50 ms that are as loud as the recording on average."""
    frame = rate // 20
    power = np.square(audio[: len(audio) // frame * frame]).reshape(-1, frame).mean(axis=1)
    return int(np.argmax(power >= power.mean())) * frame if len(power) else 0


def as_table(found: Mapping[str, Mapping[str, Sequence[float]]], lines: Mapping[str, float]) -> str:
    """Return a Markdown table with a row for each model and case: gains in dB, then the lines."""
    rows = []
    for model, cases in found.items():
        rows += [[model, case, *(f"{gain:+.1f}" for gain in values)] for case, values in cases.items()]
        rows.append([model, f"line near {SEAM_HZ:g} Hz, in white noise", "", "", f"{lines[model]:+.1f}"])
    return "\n".join(table(["model", "case", *WINDOWS], rows))


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def steady(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="Recordings of speech; the gains are means. [default: examples/dryer.wav]"),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model to measure; may be repeated. [default: all bundled]")
    ] = None,
    budget: Annotated[str, typer.Option(help="Budget of the models.")] = "1",
) -> None:
    """Print how models keep the level of speech: gains in dB relative to the output for speech alone."""
    found, lines = {}, {}
    for name in model or bundled_models():
        opened = open_artefact(name)
        each = [
            measure(opened, read(path, opened.card.sample_rate), budget) for path in recordings or [RECORDING]
        ]
        found[name] = {case: np.mean([one[case] for one in each], axis=0).tolist() for case in CASES}
        lines[name] = line(opened, budget)
    print(as_table(found, lines))


def main() -> None:
    """Run the command; exit codes: 0 done, 2 bad usage or input, 130 interrupted."""
    sys.exit(exit_code("steady", app))


if __name__ == "__main__":
    main()
