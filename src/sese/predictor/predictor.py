"""The bundled predictor: PESQ of a recording, estimated without a clean reference. NumPy alone."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sese.predictor.packed import Packed, load, predict
from sese.predictor.spectrum import QUIETEST, log_mel

BUNDLED = Path(__file__).parents[1] / "pretrained" / "quality-bam" / "predictor.npz"
STEP_S = 2.0  # seconds between the clips of a long recording


def predicted_pesq(audio: NDArray[np.floating], packed: Packed | None = None) -> float:
    """Predict wide-band PESQ, 1 to 4.65; NaN for silence.

    A recording that is shorter than the network's clip is repeated; a longer one is the mean over clips that
    begin every two seconds, the last at its end, those without a sound left out.

    Args:
        audio: [time], finite, at the predictor's rate (16 kHz).
        packed: another predictor than the bundled one.
    """
    packed = bundled() if packed is None else packed
    design, audio = packed.design, np.asarray(audio, np.float32)
    if not len(audio):
        return math.nan
    if len(audio) < design.samples:
        audio = np.resize(audio, design.samples)
    step, last = round(STEP_S * design.sample_rate), len(audio) - design.samples
    clips = [audio[start : start + design.samples] for start in sorted({*range(0, last, step), last})]
    scores = [
        predict(packed, log_mel(clip, design))
        for clip in clips
        if np.sqrt(np.mean(np.square(clip, dtype=np.float64))) > QUIETEST
    ]
    return float(np.mean(scores)) if scores else math.nan


@cache
def bundled() -> Packed:
    """Open the predictor of the package, once."""
    return load(BUNDLED)
