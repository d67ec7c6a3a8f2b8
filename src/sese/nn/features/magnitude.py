"""Magnitude spectra at a steady level, a frame a hop; the spectra themselves go by to the head.

A frame is the hop that has come and the one before, under a periodic Hann window. Magnitudes are raised to a
power and divided by their running level, which is the same offline and streamed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.waveform import powers, smooth
from sese.nn.state import State, push

MAGNITUDE_FLOOR = 1e-5
"""Lowest magnitude of a bin; a sine of full scale has n_fft / 4 under a Hann window."""


class MagnitudeFeatures(nn.Module):
    """Short-time magnitudes of all n_fft / 2 + 1 bins.

    Args:
        n_fft: samples in a window, twice the hop.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        compression: power that magnitudes are raised to; 1 leaves them as they are.
        bands: that a router sees, evenly wide.
    """

    window: Tensor

    def __init__(
        self, n_fft: int, hop_length: int, level_frames: int, compression: float = 1.0, bands: int = 32
    ):
        super().__init__()
        self.n_fft, self.hop_length, self.bins, self.bands = n_fft, hop_length, n_fft // 2 + 1, bands
        self.decay, self.compression = 1 - 1 / level_frames, compression
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def context_size(self) -> int:
        """Values a frame that the head gets."""
        return 2 * self.bins

    @property
    def evidence_size(self) -> int:
        """Values a frame that a router sees."""
        return self.bands

    def macs(self) -> int:
        """Multiply-accumulates a frame; Fourier transforms and element-wise products are not counted."""
        return 0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        return {"past": (self.n_fft - self.hop_length,), "power": (1,), "weight": (1,)}

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform, compress and normalise.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            The magnitudes (batch, frame * bin), the spectrum (batch, frame * 2 * bin), a frame's real parts
            before its imaginary ones, and the next state.
        """
        joined, past = push(state["past"], audio)
        hops = joined.unflatten(1, (-1, self.hop_length))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=2)
        spectrum = self.transform(frames * self.window)
        power = spectrum.square().sum(2).clamp_min(MAGNITUDE_FLOOR**2)
        magnitude = power ** (self.compression / 2)

        # As in `WaveformFeatures`, the weight makes the average exact from the first frame on.
        average = smooth(magnitude.square().mean(2), state["power"], self.decay)
        kept = powers(self.decay, magnitude.shape[1], magnitude.device)
        weight = state["weight"] * kept.to(magnitude.dtype) + (1 - kept).to(magnitude.dtype)
        level = (average / weight).sqrt() + MAGNITUDE_FLOOR**self.compression
        after = {"past": past, "power": average[:, -1:], "weight": weight[:, -1:]}
        return (magnitude / level.unsqueeze(2)).flatten(1), spectrum.flatten(1), after

    def transform(self, frames: Tensor) -> Tensor:
        """Windowed samples (batch, frame, n_fft) -> (batch, frame, 2, bin) real and imaginary parts."""
        return torch.view_as_real(torch.fft.rfft(frames)).transpose(2, 3)

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """What a router sees: mean magnitudes of even bands, without the last bin, (batch, frame * band)."""
        magnitude = signal.unflatten(1, (-1, self.bins))[:, :, : self.bins - 1]
        return magnitude.unflatten(2, (self.bands, -1)).mean(3).flatten(1)
