"""Export runs, and time single frames of exported models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.evaluation import timing
from sese.runtime.card import Card

FRAME_MS = 16  # that times of a frame are given for


def exported(run: Path, output: Path) -> Path:
    """Export a run to a model folder, unless that exists.

    Args:
        run: Run folder, for its best weights, or a folder of weights.
        output: Model folder.
    """
    from sese.export.folder import export_folder

    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        export_folder(run, output)
    return output


def frame_ms(card: Card, stream: Any, speech: np.ndarray, frames: int) -> NDArray[np.float64]:
    """Return milliseconds for 16 ms of audio [frame], one frame a call, from a fresh stream."""
    seconds = timing.time_frames([stream], speech, card.hop_length, frames)[0]
    return seconds * FRAME_MS * card.sample_rate / card.hop_length
