"""Convert samples to bytes and back, in the little-endian encodings that programs pipe to each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError


@dataclass(frozen=True)
class Encoding:
    """Encoding of a sample in bytes; the name is ffmpeg's."""

    name: str
    bits: int
    is_float: bool

    @property
    def width(self) -> int:
        """Number of bytes of a sample."""
        return self.bits // 8

    def decode(self, data: bytes, channels: int) -> NDArray[np.float32]:
        """Convert bytes of whole frames to ``[frame, channel]``; integers are scaled to [-1, 1)."""
        if self.is_float:
            samples = np.frombuffer(data, "<f4").astype(np.float32)
        elif self.width == 3:
            words = np.zeros((len(data) // 3, 4), np.uint8)
            words[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            samples = words.view("<i4")[:, 0] * np.float32(2**-31)
        else:
            samples = np.frombuffer(data, f"<i{self.width}") * np.float32(2.0 ** (1 - self.bits))
        return samples.astype(np.float32, copy=False).reshape(-1, channels)

    def encode(self, samples: NDArray[np.float32]) -> tuple[bytes, int]:
        """Convert ``[frame, channel]`` to bytes; also return how many samples were clipped."""
        if self.is_float:
            return samples.astype("<f4", copy=False).tobytes(), 0
        full = 2.0 ** (self.bits - 1)
        scaled = np.rint(samples.astype(np.float64) * full)
        clipped = int(np.count_nonzero((scaled < -full) | (scaled > full)))  # 1.0 itself is one step off
        words = np.clip(scaled, -full, full - 1).astype("<i2" if self.width == 2 else "<i4")
        if self.width != 3:
            return words.tobytes(), clipped
        return words.reshape(-1, 1).view(np.uint8)[:, :3].tobytes(), clipped


ENCODINGS = {
    encoding.name: encoding
    for encoding in (
        Encoding("s16le", 16, False),
        Encoding("s24le", 24, False),
        Encoding("s32le", 32, False),
        Encoding("f32le", 32, True),
    )
}


def find_encoding(name: str) -> Encoding:
    """Return the encoding with this name.

    Raises:
        InputError: There is no such encoding.
    """
    if name not in ENCODINGS:
        raise InputError(f"unknown sample format {name!r}; give {', '.join(ENCODINGS)}, or wav")
    return ENCODINGS[name]
