"""The sizes of a quality predictor, and what they cost: no PyTorch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from sese.core.errors import InputError

KERNEL = 3  # of every convolution, in bands and in frames


@dataclass(frozen=True)
class Design:
    """Sizes of the network. The defaults are the published ones.

    Attributes:
        sample_rate: Hz.
        seconds: length of the clip that is predicted.
        fft, hop: samples of a frame and between frames.
        bands: number of bands of the mel spectrogram.
        channels: number of channels of each of the four convolutions.
        hidden: widths of the two dense layers.
        activation: activation of each convolution: ``relu``, or ``binary`` (1 above 0, else 0).
        beta: steepness of the surrogate gradient of ``binary``.
        pool: pooling of the last maps over bands and frames: ``max`` (published) or ``mean``.
    """

    sample_rate: int = 16_000
    seconds: float = 5.0
    fft: int = 640
    hop: int = 320
    bands: int = 120
    channels: tuple[int, ...] = (32, 32, 32, 64)
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["relu", "binary"] = "relu"
    beta: float = 1.0
    pool: Literal["max", "mean"] = "max"

    def __post_init__(self) -> None:
        if len(self.channels) != 4 or len(self.hidden) != 2 or min(*self.channels, *self.hidden) < 1:
            raise InputError(
                f"network.channels is {list(self.channels)}, network.hidden {list(self.hidden)}; "
                "give four and two numbers from 1"
            )
        if not self.beta > 0:
            raise InputError(f"network.beta is {self.beta}; use a number above 0")
        if self.fft < 2 or self.hop < 1 or self.sample_rate < 1:
            raise InputError(
                f"network: fft {self.fft}, hop {self.hop}, sample_rate {self.sample_rate}; "
                "give a frame of 2 samples or more, and a hop and a rate from 1"
            )
        if self.activation not in ("relu", "binary"):
            raise InputError(f"network.activation is {self.activation!r}; choose relu or binary")
        if self.pool not in ("max", "mean"):
            raise InputError(f"network.pool is {self.pool!r}; choose max or mean")
        if self.bands < 16 or not math.isfinite(self.seconds) or self.frames < 16:
            raise InputError(
                f"network: {self.bands} bands, {self.seconds} s; give 16 bands and 16 frames or more, "
                "for four poolings by two"
            )

    @property
    def samples(self) -> int:
        """Return the number of samples in a clip."""
        return round(self.seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Return the number of whole frames in a clip."""
        return (self.samples - self.fft) // self.hop + 1

    @property
    def maps(self) -> list[tuple[int, int, int]]:
        """Return (channel, band, frame) of the map of each convolution, before it is pooled."""
        band, frame, shapes = self.bands, self.frames, []
        for channels in self.channels:
            shapes.append((channels, band, frame))
            band, frame = band // 2, frame // 2
        return shapes

    @property
    def macs(self) -> list[int]:
        """Return the multiply-accumulates for a clip: of each convolution, and of the dense layers."""
        inputs = (1, *self.channels[:-1])
        convolutions = [
            math.prod(shape) * KERNEL**2 * before for shape, before in zip(self.maps, inputs, strict=True)
        ]
        widths = (self.channels[-1], *self.hidden, 1)
        return [*convolutions, sum(a * b for a, b in pairwise(widths))]

    @property
    def parameters(self) -> int:
        """Return the number of weights and biases."""
        widths, inputs = (self.channels[-1], *self.hidden, 1), (1, *self.channels[:-1])
        convolutions = sum(o * (KERNEL**2 * i + 1) for i, o in zip(inputs, self.channels, strict=True))
        return convolutions + sum((a + 1) * b for a, b in pairwise(widths))

    def memory(self, weight_bits: int, map_bits: int) -> float:
        """Return the bytes of all maps, unpooled, and of all parameters, counted as in the paper."""
        return (sum(map(math.prod, self.maps)) * map_bits + self.parameters * weight_bits) / 8


def design_of(values: dict[str, Any]) -> Design:
    """Return the design of nested values, as JSON has them.

    Raises:
        InputError: a value that cannot be used.
        TypeError: one that is unknown.
    """
    plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return Design(**plain)
