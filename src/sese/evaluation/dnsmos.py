"""DNSMOS: quality predicted without a clean reference, from the two networks that `speechmos` ships.

The `speechmos` package imports librosa (and with it numba and more) for one mel spectrogram. Only its
model files are used here, and the mel spectrogram is the twenty lines below.
"""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sese.audio.mel import bin_frequencies, slaney_edges, triangles
from sese.core.errors import InputError
from sese.core.install import install_command
from sese.evaluation.dnsmos_network import open_session, raw_scores

SAMPLE_RATE = 16_000
SECONDS = 9.01
P835 = "sig_bak_ovr.onnx"
SEGMENT = int(SECONDS * SAMPLE_RATE)  # samples that the networks take; segments start one second apart

# Published polynomials from the raw outputs of the P.835 network to opinion scores, highest power first.
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}

FFT, HOP, BANDS = 321, 160, 120


def dnsmos_scores(audio: np.ndarray) -> dict[str, float]:
    """Return the opinion scores `ovrl`, `sig`, `bak` (P.835) and `p808` of audio, each 1 to 5.

    Shorter audio is repeated up to 9.01 s; longer audio is scored in segments of 9.01 s, one second
    apart, and averaged: both as in the reference implementation. Samples beyond -1..1 are clipped, as a
    16-bit file would have them.

    Source: Reddy, Gopal, Cutler, "DNSMOS P.835", ICASSP 2022; and "DNSMOS", ICASSP 2021 (P.808).

    Raises:
        InputError: the package `speechmos` or `onnx` is not installed.
    """
    audio, starts = segments_of(audio)
    raw = raw_scores(model_folder() / P835, audio, starts)
    scores = {name: np.polyval(POLYNOMIALS[name], raw[:, column]) for column, name in enumerate(POLYNOMIALS)}
    segments = (audio[hop * SAMPLE_RATE :][:SEGMENT] for hop in starts)
    scores["p808"] = np.array([_p808(segment.tobytes()) for segment in segments])
    return {name: float(np.mean(scores[name])) for name in ("ovrl", "sig", "bak", "p808")}


def dnsmos_ovrl(audio: np.ndarray) -> float:
    """Return `ovrl` of `dnsmos_scores` alone, which is quicker.

    Raises:
        InputError: the package `speechmos` or `onnx` is not installed.
    """
    raw = raw_scores(model_folder() / P835, *segments_of(audio))
    return float(np.mean(np.polyval(POLYNOMIALS["ovrl"], raw[:, list(POLYNOMIALS).index("ovrl")])))


def segments_of(audio: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return audio, repeated where it is short, and the beginnings of its segments in seconds."""
    audio = np.clip(np.asarray(audio, dtype=np.float32), -1.0, 1.0)
    while len(audio) < SEGMENT:
        audio = np.append(audio, audio)
    # The end of a segment is computed as the reference does it: where its rounding makes one a sample
    # short, the reference leaves that segment out, and published scores are means without it.
    starts = [
        hop
        for hop in range(int(len(audio) // SAMPLE_RATE - SECONDS) + 1)
        if int((hop + SECONDS) * SAMPLE_RATE) - hop * SAMPLE_RATE >= SEGMENT
    ]
    return audio, starts


@lru_cache(maxsize=16)  # a short file is repeated, and its segments with it
def _p808(segment: bytes) -> float:
    bands = log_mel(np.frombuffer(segment, np.float32)[:-HOP])[None]
    return float(_p808_network().run(None, {"input_1": bands})[0][0][0])


def log_mel(audio: np.ndarray) -> np.ndarray:
    """Return the input of the P.808 network: `audio` [time] at 16 kHz -> [frame, band].

    The numbers of librosa's `melspectrogram` (Slaney mel scale and area normalization, periodic Hann
    window, frames centred on zero-padded audio) and of its `power_to_db` with the floor at -80 dB.
    """
    padded = np.pad(audio.astype(np.float32), FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    power = np.abs(np.fft.rfft(frames * window, axis=-1)) ** 2 @ _mel_filters().T
    decibels = 10 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))
    return ((np.maximum(decibels, -80.0) + 40) / 40).astype(np.float32)


@cache
def _mel_filters() -> np.ndarray:
    """Return triangles [band, bin] of equal area, equally spaced on Slaney's mel scale up to 8 kHz."""
    edges = slaney_edges(SAMPLE_RATE / 2, BANDS)
    return triangles(edges, bin_frequencies(FFT, SAMPLE_RATE)) * 2 / (edges[2:] - edges[:-2])[:, None]


def model_folder() -> Path:
    """Return the folder of the DNSMOS networks in the installed `speechmos`, which is not imported.

    Raises:
        InputError: the package is not installed.
    """
    spec = importlib.util.find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f'metric dnsmos: package "speechmos" is not installed; {install_command("metrics")}')
    return Path(spec.submodule_search_locations[0]) / "dnsmos_models"


@cache
def _p808_network() -> Any:
    return open_session(model_folder() / "model_v8.onnx")
