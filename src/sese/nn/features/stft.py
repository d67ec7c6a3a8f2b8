"""Compressed complex spectra at a steady level, a frame a hop.

Magnitudes are compressed by a power, which brings weak sounds up to strong ones, and divided by their running
level, which is the same offline and streamed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.features.level import running_mean
from sese.nn.features.short_time import ShortTimeFeatures, analysis_window
from sese.nn.state import State

COMPRESSION = 1 / 3
"""Power that magnitudes are raised to. `heads.mask` undoes it by a cube, which is cheap to run."""

POWER_FLOOR = 1e-10
"""Lowest power of a bin: -100 dB of a full-scale sine's, with windows normed as they are here."""

LEVEL_FLOOR = 1e-3
"""Added to the level of compressed magnitudes, so that silence is not blown up."""


class SpectralFeatures(ShortTimeFeatures):
    """Short-time spectra, as they are and compressed; the bin at the Nyquist frequency is left out.

    Args:
        n_fft: samples in a window, twice the hop.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        bands: that a policy sees, evenly wide.
    """

    def __init__(self, n_fft: int, hop_length: int, level_frames: int, bands: int = 32):
        super().__init__(analysis_window(n_fft), hop_length, level_frames, bands)

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform, compress and normalise.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            The compressed spectrum and the spectrum, each (batch, frame * 2 * bin), a frame's real parts
            before its imaginary ones, and the next state.
        """
        signal, spectrum, _, after = self.steadied(audio, state)
        return signal.flatten(1), spectrum.flatten(1), after

    def steadied(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Compressed spectra at a steady level, spectra, levels and the next state.

        Both spectra are (batch, frame, 2, bin); the levels (batch, frame) are what the former are divided by.
        """
        spectrum, past = self.analyse(audio, state["past"])
        compressed = compress(spectrum)
        size = compressed.square().flatten(2).sum(2) / self.bins
        average, after = running_mean(size, state, self.decay)
        level = average.sqrt() + LEVEL_FLOOR
        return compressed / level.unflatten(1, (-1, 1, 1)), spectrum, level, after | {"past": past}

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """What a policy sees: mean compressed magnitudes of even bands, (batch, frame * band)."""
        spectrum = signal.unflatten(1, (-1, 2, self.bins))
        magnitude = spectrum.square().sum(2).clamp_min(POWER_FLOOR).sqrt()
        return self.in_bands(magnitude)


class LevelledFeatures(SpectralFeatures):
    """As `SpectralFeatures`, for a head that needs no spectrum: it gets the levels in its place."""

    @property
    def context_size(self) -> int:
        """Values a frame that the head gets."""
        return 1

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform, compress and normalise.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            The compressed spectrum (batch, frame * 2 * bin), a frame's real parts before its imaginary ones,
            the levels (batch, frame) that it is divided by, and the next state.
        """
        signal, _, level, after = self.steadied(audio, state)
        return signal.flatten(1), level, after


def compress(spectrum: Tensor) -> Tensor:
    """Raise the magnitudes of spectra (batch, frame, 2, bin) to the power `COMPRESSION`."""
    power = spectrum.square().sum(2, keepdim=True).clamp_min(POWER_FLOOR)
    return spectrum * power ** ((COMPRESSION - 1) / 2)


def product(x: Tensor, mask: Tensor) -> Tensor:
    """Product of complex values, each (batch, frame, 2, bin) with real parts before imaginary ones."""
    real, imaginary = mask.split(1, dim=2)
    turned = torch.cat([-x[:, :, 1:], x[:, :, :1]], dim=2)
    return real * x + imaginary * turned
