"""Bit rates of lossy files: measured in a source, and chosen again for an output."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from sese.audio.containers.mp3 import audio_bytes
from sese.audio.containers.source import Source

_MP3_KBITS = ((32_000, 320, 32), (16_000, 160, 8), (0, 64, 8))
"""Lowest sample rate, and the bit rates of libsndfile's compression levels 0 and 1."""

_OPUS_BITS = (256_000, 6_000)  # per channel, of the levels 0 and 1
_STEPS = 6  # of the search for a level of Vorbis
_LEAST_CONSTANT = 80_000  # bits per second
_HIGHEST = 0.99  # libsndfile refuses 1 for MP3


def measure(path: Path, seconds: float, subtype: str) -> int | None:
    """Return the bit rate of a lossy file in bits per second; None for other files.

    Args:
        path: File.
        seconds: Length of its audio.
        subtype: Encoding, in libsndfile's words.
    """
    if subtype not in ("VORBIS", "OPUS", "MPEG_LAYER_III") or seconds <= 0:
        return None
    with path.open("rb") as file:
        source = Source(file)
        size = audio_bytes(source) if subtype == "MPEG_LAYER_III" else source.size
        nominal = _nominal(source.at(0, 4096)) if subtype == "VORBIS" else 0
    return nominal or round(8 * size / seconds)


def compression_level(subtype: str, sample_rate: int, channels: int, bit_rate: int | None) -> float | None:
    """Return libsndfile's compression level for a bit rate in bits per second; None for its usual one."""
    if bit_rate is None:
        return None
    if subtype == "MPEG_LAYER_III":
        most, least = next((high, low) for rate, high, low in _MP3_KBITS if sample_rate >= rate)
        level = (most - bit_rate / 1000) / (most - least)
    elif subtype == "OPUS":
        most, least = _OPUS_BITS
        level = (most - bit_rate / channels) / (most - least)
    elif subtype == "VORBIS":
        low, high = 0.0, _HIGHEST
        for _ in range(_STEPS):
            level = (low + high) / 2
            low, high = (level, high) if _vorbis(level, sample_rate, channels) > bit_rate else (low, level)
    else:
        return None
    return min(max(level, 0.0), _HIGHEST)


def bit_rate_mode(subtype: str, bit_rate: int | None) -> str | None:
    """Return libsndfile's mode for a bit rate; None for the usual one.

    Constant frames of few bytes have no place for the table of MP3 that tells the length to the sample.
    """
    if subtype != "MPEG_LAYER_III" or bit_rate is None:
        return None
    return "CONSTANT" if bit_rate >= _LEAST_CONSTANT else "AVERAGE"


def _vorbis(level: float, sample_rate: int, channels: int) -> int:
    """Return the nominal bit rate that Vorbis has at a compression level."""
    file = io.BytesIO()
    silence = np.zeros((1, channels), np.float32)
    soundfile.write(file, silence, sample_rate, "VORBIS", format="OGG", compression_level=level)
    return _nominal(file.getvalue())


def _nominal(head: bytes) -> int:
    """Return the nominal bit rate in the header of Vorbis; 0 for none."""
    place = head.find(b"\x01vorbis")
    return max(0, int.from_bytes(head[place + 20 : place + 24], "little", signed=True)) if place >= 0 else 0
