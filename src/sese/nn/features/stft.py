"""Compressed complex spectra at a steady level, a frame a hop.

Magnitudes are compressed by a power, which brings weak sounds closer to strong ones, and divided by their
running level, which is the same offline and streamed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.features.level import running_mean
from sese.nn.features.short_time import ShortTimeFeatures, analysis_window
from sese.nn.state import State

COMPRESSION = 1 / 3
"""Power that magnitudes are raised to. `heads.mask` reverses it by a cube, which costs little."""

POWER_FLOOR = 1e-10
"""Lowest power of a bin: -100 dB of a full-scale sine's, with the windows used here."""

LEVEL_FLOOR = 1e-3
"""Added to the level of compressed magnitudes, so that silence is not amplified."""


class SpectralFeatures(ShortTimeFeatures):
    """Compute short-time spectra and compressed ones; the bin at the Nyquist frequency is left out.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        bands: evenly wide bands that a policy gets.
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
        """Transform, compress and normalise, as `forward`, and return the levels too.

        Returns:
            Compressed spectra at a steady level and spectra, each (batch, frame, 2, bin), the levels
            (batch, frame) that the former are divided by, and the next state.
        """
        spectrum, past = self.analyse(audio, state["past"])
        compressed = compress(spectrum)
        size = compressed.square().flatten(2).sum(2) / self.bins
        average, after = running_mean(size, state, self.decay)
        level = average.sqrt() + LEVEL_FLOOR
        return compressed / level.unflatten(1, (-1, 1, 1)), spectrum, level, after | {"past": past}

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """Return mean compressed magnitudes of evenly wide bands, (batch, frame * band)."""
        spectrum = signal.unflatten(1, (-1, 2, self.bins))
        magnitude = spectrum.square().sum(2).clamp_min(POWER_FLOOR).sqrt()
        return self.in_bands(magnitude)


class LevelledFeatures(SpectralFeatures):
    """Compute what `SpectralFeatures` does, with the levels as the context in place of the spectra."""

    @property
    def context_size(self) -> int:
        """Number of values a frame that the head gets."""
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
    """Multiply complex values, each (batch, frame, 2, bin) with real parts before imaginary ones.

    Example:
        >>> x = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1)  # i
        >>> product(x, x).flatten()  # i * i
        tensor([-1.,  0.])
    """
    real, imaginary = mask.split(1, dim=2)
    turned = torch.cat([-x[:, :, 1:], x[:, :, :1]], dim=2)
    return real * x + imaginary * turned
