"""Signals of benchmarks/public_corpus.py: decoding, cutting, and joining of short sounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from sese.audio.files import read_audio
from sese.audio.media import require_av
from sese.data.selection import Measures, clipped_runs, measure

Audio = NDArray[np.float32]

RATE = 16_000
FULL_RATE = 48_000
RUMBLE_HZ = 55.0  # speech has nothing below
SILENCE_SECONDS = 0.3  # that is left before and after speech
SILENCE_DB = 40.0  # below the loudest frames
FRAME_SECONDS = 0.02
LONGEST_SECONDS = 20.0  # of a recording of speech; longer ones are cut in pauses
PIECE_SECONDS = (8.0, 15.0)
PEAK = 0.99
CANCELLED = 0.25  # power of a mix of channels, relative to the louder one, below which they cancel


def decode(path: Path) -> tuple[Audio, int]:
    """Return a recording as one channel, and its sample rate in Hz.

    Channels are averaged. If they cancel each other, the loudest is returned.

    Raises:
        InputError: The file cannot be read.
    """
    channels, rate = _decode_g722(path) if path.suffix == ".g722" else read_audio(path)
    mixed = channels.mean(axis=1)
    if channels.shape[1] > 1:
        powers = np.square(channels).mean(axis=0)
        if np.square(mixed).mean() < CANCELLED * powers.max():
            mixed = channels[:, powers.argmax()]
    return mixed - mixed.mean(), rate


def _decode_g722(path: Path) -> tuple[Audio, int]:
    """Return the samples [sample, 1] of a file without a header, and 16 kHz."""
    with require_av(path).open(str(path), format="g722") as file:
        frames = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
    samples = np.concatenate(frames or [np.zeros(1, np.int16)])
    return samples[:, None].astype(np.float32) / np.float32(32768), RATE


def resample(signal: Audio, rate: int, target: int) -> Audio:
    """Return a signal at another sample rate."""
    return signal if rate == target else soxr.resample(signal, rate, target, quality="HQ")


def measure_speech(signal: Audio, low: Audio, rate: int) -> Measures:
    """Return the measures at 16 kHz, with the clipping at the original rate, before filters hid it.

    Args:
        signal: Recording at its own rate.
        low: The same at 16 kHz.
        rate: Sample rate of `signal` in Hz.
    """
    return replace(measure(low, RATE), clipped=clipped_runs(signal))


def without_rumble(signal: Audio, rate: int) -> Audio:
    """Return speech without what lies below 55 Hz."""
    return sosfilt(butter(4, RUMBLE_HZ, "highpass", fs=rate, output="sos"), signal).astype(np.float32)


def cut(
    signal: Audio, rate: int, skip_seconds: tuple[float, float] = (0.0, 0.0)
) -> list[tuple[float, float]]:
    """Return begin and end in seconds of the parts of a recording of speech to use.

    Silence at both ends is left out, except 0.3 s. Recordings over 20 s are cut where they are quietest.

    Args:
        signal: Recording.
        rate: Sample rate in Hz.
        skip_seconds: Lengths at the start and at the end that are left out first.
    """
    size = round(FRAME_SECONDS * rate)
    count = len(signal) // size
    power = signal[: count * size].reshape(count, size).var(axis=1)
    first, last = round(skip_seconds[0] / FRAME_SECONDS), count - round(skip_seconds[1] / FRAME_SECONDS)
    if last <= first:
        return []
    if any(skip_seconds):  # begin and end in a pause
        first, last = (
            _pause(power, first, min(first + 250, last)),
            _pause(power, max(last - 250, first), last),
        )
    heard = np.flatnonzero(power[first:last] > np.percentile(power, 95) / 10 ** (SILENCE_DB / 10)) + first
    if len(heard) == 0:
        return []
    spare = round(SILENCE_SECONDS / FRAME_SECONDS)
    begin, end = max(heard[0] - spare, first), min(heard[-1] + 1 + spare, last)
    edges = [begin]
    shortest, longest = (round(seconds / FRAME_SECONDS) for seconds in PIECE_SECONDS)
    while (end - edges[-1]) * FRAME_SECONDS > LONGEST_SECONDS:
        edges.append(_pause(power, edges[-1] + shortest, edges[-1] + longest))
    edges.append(end)
    return [(a * FRAME_SECONDS, b * FRAME_SECONDS) for a, b in pairwise(edges) if b > a]


def _pause(power: NDArray, first: int, last: int) -> int:
    """Return the frame in the middle of the quietest 0.3 s of the frames [first, last)."""
    width = round(SILENCE_SECONDS / FRAME_SECONDS)
    if last - first <= width:
        return (first + last) // 2
    smooth = np.convolve(power[first:last], np.ones(width), "valid")
    return int(first + smooth.argmin() + width // 2)


def part(signal: Audio, rate: int, seconds: tuple[float, float]) -> Audio:
    """Return a part of a signal, from begin to end in seconds."""
    return signal[round(seconds[0] * rate) : round(seconds[1] * rate)]


def lay(sounds: Sequence[tuple[float, Audio]], rate: int) -> Audio:
    """Return a signal with a sound at each time in seconds; sounds that overlap are added."""
    starts = [round(time * rate) for time, _ in sounds]
    end = max(start + len(sound) for start, (_, sound) in zip(starts, sounds, strict=True))
    out = np.zeros(end, np.float32)
    for start, (_, sound) in zip(starts, sounds, strict=True):
        out[start : start + len(sound)] += sound
    return out


def type_text(
    strokes: Sequence[tuple[Audio, Audio]], rate: int, seconds: float, rng: np.random.Generator
) -> Audio:
    """Return typing: keys are pressed and released at a pace that varies, with pauses to think.

    Args:
        strokes: Sounds of pressing and of releasing each key.
        rate: Sample rate in Hz.
        seconds: Length.
        rng: Random numbers.
    """
    pace, sounds, time = rng.uniform(1.5, 9.0), [], 0.0
    while time < seconds:
        press, release = strokes[int(rng.integers(len(strokes)))]
        gain = np.float32(10 ** (rng.uniform(-4, 4) / 20))
        sounds += [(time, gain * press), (time + rng.uniform(0.05, 0.12), gain * release)]
        time += rng.lognormal(-0.125, 0.5) / pace + (rng.uniform(0.5, 3.0) if rng.random() < 0.04 else 0.0)
    silence = np.zeros(round(seconds * rate), np.float32)
    return lay([(0.0, silence), *sounds], rate)[: len(silence)]


def join(sounds: Sequence[Audio], rate: int, seconds: float, rng: np.random.Generator) -> Iterator[Audio]:
    """Yield signals of about `seconds` that hold short sounds in random order, with gaps and at other levels.

    Args:
        sounds: Sounds.
        rate: Sample rate in Hz.
        seconds: Length after which a signal is complete.
        rng: Random numbers.
    """
    laid: list[tuple[float, Audio]] = []
    time = 0.0
    for index in rng.permutation(len(sounds)):
        sound = sounds[index] / max(float(np.abs(sounds[index]).max()), 1e-9)
        laid.append((time, np.float32(0.3 * 10 ** (rng.uniform(-4, 4) / 20)) * sound))
        time += len(sound) / rate + rng.uniform(0.2, 1.2)
        if time >= seconds:
            yield lay(laid, rate)
            laid, time = [], 0.0
    if laid:
        yield lay(laid, rate)


def fitted(signal: Audio) -> Audio:
    """Return a signal whose peak fits into 16 bits."""
    peak = float(np.abs(signal).max(initial=0.0))
    return signal * np.float32(PEAK / peak) if peak > PEAK else signal
