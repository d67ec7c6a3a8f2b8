"""Choose gains for the bands above the model's band, such that steady noise stays equally low under speech.

The model's gain below says what is left of speech and noise together, so it rises with each word. Here each
band decides for itself. Where it is as loud as its noise, the gain is the lowest that the model had in the
last seconds: what the model does to noise alone. Where it is far louder, by speech or a sudden noise, the
gain is the model's. A model that passes everything thus passes every band.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sese.runtime.noise_floor import Lowest, NoiseFloor, Smooth

SECONDS = 2.0
"""Time in which the model's lowest gain is looked for."""

FACTOR = 1.0
"""Power over the noise, as a ratio, from which on a band is more than noise."""

WINDOW_SECONDS = 0.016
"""Time over which powers are measured; shorter windows are smoothed, so that noise alone varies little."""

LEAST = 0.003
"""Lowest gain, -50 dB."""

SILENT = 1e-12
"""Mean power that no noise estimate is below."""


class SteadyGains:
    """Compute the gains of each band; feed points of time in order.

    Args:
        seconds: Time between two points.
        window: Time over which the power of a point is measured, in seconds.
    """

    def __init__(self, seconds: float, window: float) -> None:
        self._smooth = Smooth(seconds, (WINDOW_SECONDS - window) / 2)
        self._noise, self._quiet = NoiseFloor(seconds), Lowest(SECONDS / seconds)

    def reset(self) -> None:
        """Forget the signal."""
        self._smooth.reset()
        self._noise.reset()
        self._quiet.reset()

    def __call__(self, power: NDArray[np.float32], gain: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the gains of the next points, ``[point, channel, band]``, in [0, 1].

        Args:
            power: Mean power in each band, ``[point, channel, band]``.
            gain: Gain of the model in the upper part of its band, ``[point, channel, 1]``.
        """
        power = self._smooth(power)
        more = np.maximum(power / (self._noise(power) + SILENT) - FACTOR, 0)
        quiet = np.maximum(self._quiet(gain), np.minimum(gain, LEAST))
        return quiet + more / (1 + more) * (gain - quiet)
