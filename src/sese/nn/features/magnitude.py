"""Magnitude spectra at a steady level, a frame a hop; the spectra themselves are the head's context.

The window is a periodic Hann window. Magnitudes are raised to a power and divided by their running level,
which is the same offline and streamed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.features.level import running_mean
from sese.nn.features.short_time import ShortTimeFeatures
from sese.nn.state import State

MAGNITUDE_FLOOR = 1e-5
"""Lowest magnitude of a bin; a sine of full scale has n_fft / 4 under a Hann window."""


class MagnitudeFeatures(ShortTimeFeatures):
    """Compute short-time magnitudes of all n_fft / 2 + 1 bins.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        compression: power that magnitudes are raised to; 1 leaves them as they are.
        bands: evenly wide bands that a policy gets.
    """

    def __init__(
        self, n_fft: int, hop_length: int, level_frames: int, compression: float = 1.0, bands: int = 32
    ):
        super().__init__(torch.hann_window(n_fft), hop_length + 1, level_frames, bands)
        self.compression = compression

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform, compress and normalise.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            The magnitudes (batch, frame * bin), the spectrum (batch, frame * 2 * bin), a frame's real parts
            before its imaginary ones, and the next state.
        """
        spectrum, past = self.analyse(audio, state["past"])
        power = spectrum.square().sum(2).clamp_min(MAGNITUDE_FLOOR**2)
        magnitude = power ** (self.compression / 2)
        average, after = running_mean(magnitude.square().mean(2), state, self.decay)
        level = average.sqrt() + MAGNITUDE_FLOOR**self.compression
        return (magnitude / level.unsqueeze(2)).flatten(1), spectrum.flatten(1), after | {"past": past}

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """Return mean magnitudes of evenly wide bands, without the last bin, (batch, frame * band)."""
        return self.in_bands(signal.unflatten(1, (-1, self.bins)))
