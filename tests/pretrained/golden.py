"""Fingerprints of what the bundled models make of fixed sounds, and how to write them anew.

    python tests/pretrained/golden.py    # writes golden.npz; only after a model was changed on purpose

Of each model, way to run it and sound: amplitudes in 8 bands of every 20 ms, 200 samples, and what the frames
used.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sese.runtime.artefact import Artefact, bundled_models, open_artefact
from sese.runtime.budget import level_name
from sese.runtime.options import EnhanceOptions
from sese.runtime.stream import Stream

HERE = Path(__file__).parent
FILE = HERE / "golden.npz"
RATE = 16000
TIME = RATE  # samples of each sound
BLOCK = RATE // 50
EDGES = (0, 2, 5, 9, 15, 25, 50, 90, 161)  # of the bands, in bins of 50 Hz
PLACES = np.arange(200) * 79 + 150


@cache
def opened(name: str) -> Artefact:
    """A bundled model, opened once."""
    return open_artefact(name)


def numbers(count: int, seed: int) -> NDArray[np.int64]:
    """Whole numbers from 0 to 65535, by a generator of 32 bits that is written down here."""
    made, state = np.empty(count, np.int64), seed
    for at in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        made[at] = state >> 16
    return made


@cache
def sounds() -> dict[str, NDArray[np.float32]]:
    """Return the input of the models, ``[time]``: noise in steps of 3 dB with a buzz, and noisy speech."""
    noise = (numbers(TIME, 1) - 32768) / 32768
    steps = 2.0 ** -(numbers(TIME // 2000 + 1, 2) % 12 / 2).repeat(2000)[:TIME]
    at = np.arange(TIME)
    buzz = (at % 113 < 7) * (at // 4000 % 2)
    speech, _ = soundfile.read(HERE.parents[1] / "examples" / "dryer.wav", dtype="float32")
    return {
        "made": (0.25 * steps * noise + 0.5 * buzz).astype(np.float32),
        "speech": speech[RATE : RATE + TIME],
    }


def ways(artefact: Artefact) -> list[str]:
    """Budgets of a model: each level, and the router's choice."""
    card = artefact.card
    fixed = [f"fixed:{level_name(card, level)}" for level in range(len(card.levels))]
    return fixed + ["auto"] * card.router


def run(artefact: Artefact, budget: str, audio: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """Enhanced ``[time]``, and what each frame used ``[frame]``."""
    stream = Stream(artefact, EnhanceOptions(budget))
    return np.concatenate([stream.feed(audio), stream.flush()]), stream.trace


def fingerprint(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[20 ms, value]``: amplitudes in the bands, and then 4 of the samples."""
    spectra = np.abs(np.fft.rfft(audio.reshape(-1, BLOCK).astype(np.float64))) / BLOCK
    bands = np.sqrt(np.add.reduceat(spectra**2, EDGES[:-1], axis=1))
    return np.concatenate([bands, audio[PLACES].reshape(len(bands), -1)], axis=1)


def cases() -> Iterator[tuple[str, str, str]]:
    """Every (model, budget, sound)."""
    for name in bundled_models():
        for budget in ways(opened(name)):
            for sound in sounds():
                yield name, budget, sound


def main() -> None:
    """Write the fingerprints that hold now."""
    arrays = {}
    for name, budget, sound in cases():
        enhanced, used = run(opened(name), budget, sounds()[sound])
        key = f"{name} {budget} {sound}"
        arrays[key] = fingerprint(enhanced).astype(np.float16)
        if budget == "auto":
            arrays[f"{key} used"] = used.astype(np.float16)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {len(arrays)} arrays, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
