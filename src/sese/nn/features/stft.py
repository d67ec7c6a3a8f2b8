"""Compressed complex spectra at a steady level, a frame a hop.

A frame is the hop that has come and the one before. Magnitudes are compressed by a
power, which brings weak sounds up to strong ones, and divided by their running level, which is the same
offline and streamed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.waveform import powers, smooth
from sese.nn.state import State, push

COMPRESSION = 1 / 3
"""Power that magnitudes are raised to. `heads.mask` undoes it by a cube, which is cheap to run."""

POWER_FLOOR = 1e-10
"""Lowest power of a bin: -100 dB of a full-scale sine's, with windows normed as they are here."""

LEVEL_FLOOR = 1e-3
"""Added to the level of compressed magnitudes, so that silence is not blown up."""


class SpectralFeatures(nn.Module):
    """Short-time spectra, as they are and compressed; the bin at the Nyquist frequency is left out.

    Args:
        n_fft: samples in a window, twice the hop.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        bands: that a policy sees, evenly wide.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int, level_frames: int, bands: int = 32):
        super().__init__()
        self.n_fft, self.hop_length, self.bins, self.bands = n_fft, hop_length, n_fft // 2, bands
        self.decay = 1 - 1 / level_frames
        self.register_buffer("window", analysis_window(n_fft), persistent=False)

    @property
    def context_size(self) -> int:
        """Values a frame that the head gets."""
        return 2 * self.bins

    @property
    def evidence_size(self) -> int:
        """Values a frame that a policy sees."""
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
            The compressed spectrum and the spectrum, each (batch, frame * 2 * bin), a frame's real parts
            before its imaginary ones, and the next state.
        """
        joined, past = push(state["past"], audio)
        hops = joined.unflatten(1, (-1, self.hop_length))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=2)
        spectrum = self.transform(frames * self.window)
        power = spectrum.square().sum(2, keepdim=True).clamp_min(POWER_FLOOR)
        compressed = spectrum * power ** ((COMPRESSION - 1) / 2)

        # As in `WaveformFeatures`, the weight makes the average exact from the first frame on.
        size = compressed.square().flatten(2).sum(2) / self.bins
        average = smooth(size, state["power"], self.decay)
        kept = powers(self.decay, size.shape[1], size.device)
        weight = state["weight"] * kept.to(size.dtype) + (1 - kept).to(size.dtype)
        level = (average / weight).sqrt() + LEVEL_FLOOR
        signal = compressed / level.unflatten(1, (-1, 1, 1))
        after = {"past": past, "power": average[:, -1:], "weight": weight[:, -1:]}
        return signal.flatten(1), spectrum.flatten(1), after

    def transform(self, frames: Tensor) -> Tensor:
        """Windowed samples (batch, frame, n_fft) -> (batch, frame, 2, bin) real and imaginary parts."""
        spectrum = torch.fft.rfft(frames)[..., : self.bins]
        return torch.stack([spectrum.real, spectrum.imag], dim=2)

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """What a policy sees: mean compressed magnitudes of even bands, (batch, frame * band)."""
        spectrum = signal.unflatten(1, (-1, 2, self.bins))
        magnitude = spectrum.square().sum(2).clamp_min(POWER_FLOOR).sqrt()
        return magnitude.unflatten(2, (self.bands, -1)).mean(3).flatten(1)


def analysis_window(n_fft: int) -> Tensor:
    """Square root of a Hann window, periodic, with sums of squares over hops of half its length of 1."""
    return torch.hann_window(n_fft, dtype=torch.float64).sqrt().float()
