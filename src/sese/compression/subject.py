"""What is compressed: the chain inside a network, the frames that go into it, and how wrong its output is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from sese.compression.layers import Floats, Layer


def fingerprint(layers: Sequence[Layer], *clips: np.ndarray) -> str:
    """Tells a chain on these clips from others."""
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
        measure: what `error` is, in words.
        fingerprint: see the function.
    """

    layers: tuple[Layer, ...]
    x: Floats
    measure: str
    fingerprint: str

    def error(self, y: np.ndarray) -> float:
        """Of the network whose chain made y [clip, frame, output]: 0 is perfect, 1 as bad as no network."""
        ...

    def scores(self, y: np.ndarray) -> dict[str, list[float]]:
        """What a report says of it: column -> values of clips."""
        ...

    def write_model(self, folder: Path, layers: Sequence[Layer]) -> None:
        """The network as a folder of the training house, its chain's weights replaced."""
        ...

    def write_audio(self, folder: Path, y: np.ndarray, clips: int) -> None:
        """What the first clips sound like, where it makes sound."""
        ...
