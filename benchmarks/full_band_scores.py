"""Measure what is left of speech and noise above a frequency, for benchmarks/full_band.py."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sese.evaluation.metrics import si_sdr

RATE = 48_000  # Hz
ABOVE_HZ = 8500.0
"""Begin of the band that is measured: a little above the model's, where no filter reaches."""

RISE_HZ = 500.0
"""Width of the filter's edge, which decays within a frame."""

FRAME = 960  # samples, 20 ms
WARM_SECONDS = 1.0
"""Time from the beginning that is not measured: noise is unknown there."""

ACTIVE_DB, PAUSE_DB = -35.0, -50.0
"""Frames of speech are less, pauses are more than this below the loudest frame of the clean speech."""

BELOW_NOISE_DB = -10.0
"""Speech above the frequency that is this far below the noise does not count."""

SIBILANT = 0.05
"""Share of the frames with the most speech above the frequency."""

WINDOW, STEP = 2048, 512
FLOOR = 1e-10
"""Power of a bin for a sine at full scale of 1 that spectral distances take for silence: -100 dB."""

Audio = NDArray[np.floating]

COLUMNS = ("pause", "under speech", "sibilants", "LSD above", "LSD", "SI-SDR above", "SI-SDR")
"""Noise left in pauses and under speech, level of sibilants (all in dB of the input), and distances in dB."""


def scores(clean: Audio, noise: Audio, out: Audio) -> dict[str, float]:
    """Return the values of `COLUMNS` for one clip, NaN where it has nothing to measure.

    Args:
        clean: Clean speech [time] at 48 kHz.
        noise: Noise that was added, [time].
        out: Enhanced sum of both, [time].
    """
    high = {"clean": above(clean), "noise": above(noise), "out": above(out)}
    power = {name: _frames(audio) for name, audio in high.items()}
    speech = _frames(np.asarray(clean, np.float64))
    warm = np.arange(len(speech)) >= WARM_SECONDS * RATE / FRAME
    spoken = speech > speech.max() * 10 ** (ACTIVE_DB / 10)
    pause = (speech < speech.max() * 10 ** (PAUSE_DB / 10)) & warm
    under = spoken & (power["clean"] < power["noise"] * 10 ** (BELOW_NOISE_DB / 10)) & warm
    sibilant = power["clean"] >= np.sort(power["clean"])[-max(1, round(SIBILANT * len(speech)))]
    return {
        "pause": _level(power["out"], power["noise"], pause),
        "under speech": _level(power["out"], power["noise"], under),
        "sibilants": _level(power["out"], power["clean"], sibilant),
        "LSD above": spectral_distance(clean, out, ABOVE_HZ),
        "LSD": spectral_distance(clean, out, 0.0),
        "SI-SDR above": si_sdr(high["clean"], high["out"]),
        "SI-SDR": si_sdr(np.asarray(clean, np.float64), np.asarray(out, np.float64)),
    }


def above(audio: Audio) -> NDArray[np.float64]:
    """Return the part of a sound [time] above `ABOVE_HZ`, without delay."""
    spectrum = np.fft.rfft(np.asarray(audio, np.float64))
    frequency = np.fft.rfftfreq(len(audio), 1 / RATE)
    rise = np.clip((frequency - ABOVE_HZ) / RISE_HZ, 0, 1)
    return np.asarray(np.fft.irfft(spectrum * np.sin(np.pi / 2 * rise) ** 2, len(audio)))


def spectral_distance(clean: Audio, out: Audio, from_hz: float) -> float:
    """Return the mean over frames of the root mean square difference of log spectra in dB."""
    first = math.ceil(from_hz * WINDOW / RATE)
    logs = []
    for audio in (clean, out):
        frames = np.lib.stride_tricks.sliding_window_view(np.asarray(audio, np.float32), WINDOW)[::STEP]
        window = np.hanning(WINDOW).astype(np.float32)
        bins = np.fft.rfft(frames * (window / window.sum() * 2))[:, first:]
        logs.append(10 * np.log10(np.maximum(np.square(np.abs(bins)), FLOOR)))
    return float(np.sqrt(np.mean(np.square(logs[0] - logs[1]), axis=1)).mean())


def _frames(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.square(audio[: len(audio) // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1)


def _level(out: Audio, of: Audio, where: NDArray[np.bool_]) -> float:
    """Return the level in dB of some frames relative to others; NaN where there are none."""
    if not where.any() or not of[where].any():
        return math.nan
    return float(10 * np.log10(max(out[where].sum(), 1e-30) / of[where].sum()))
