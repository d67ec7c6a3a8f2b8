"""Subject of a compression: the chain inside a network, its input frames, and the error of its output."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from sese.compression.layers import Floats, Layer


def fingerprint(layers: Sequence[Layer], *clips: np.ndarray) -> str:
    """Return a digest that tells a chain on these clips from others."""
    matrices = (matrix for layer in layers for matrix in layer.matrices.values())
    digest = hashlib.sha256()
    for values in (*clips, *matrices):
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]


class Subject(Protocol):
    """A trained network on some clips.

    Attributes:
        layers: the chain, in float.
        x: frames [clip, frame, input] that go into the chain.
        measure: meaning of `error`, in words.
        fingerprint: digest; see the function.
    """

    layers: tuple[Layer, ...]
    x: Floats
    measure: str
    fingerprint: str

    def error(self, y: np.ndarray) -> float:
        """Return the error of an output y [clip, frame, output]: 0 is perfect, 1 as bad as no network."""
        ...

    def scores(self, y: np.ndarray) -> dict[str, list[float]]:
        """Return the scores for a report: column -> values of clips."""
        ...

    def write_model(self, folder: Path, layers: Sequence[Layer]) -> None:
        """Write the network as a folder of the training house, its chain's weights replaced."""
        ...

    def write_audio(self, folder: Path, y: np.ndarray, clips: int) -> None:
        """Write the sound of the first clips, where there is sound."""
        ...
