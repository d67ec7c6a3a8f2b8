"""Short-time spectra, a frame a hop: the base of all features of spectra.

A frame is the latest hop and the hop before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.parts import Features
from sese.nn.state import push


class ShortTimeFeatures(Features):
    """Compute spectra under a window for the head; each kind computes its own signal for the network.

    Args:
        window: (n_fft,), two hops long.
        bins: number of bins, from the lowest: n_fft / 2, or one more with the Nyquist frequency.
        level_frames: time constant of the running level, in frames; 0 for no level.
        bands: evenly wide bands that a policy gets.
    """

    window: Tensor

    def __init__(self, window: Tensor, bins: int, level_frames: int, bands: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins, self.bands = len(window), len(window) // 2, bins, bands
        self.decay = 1 - 1 / level_frames if level_frames else 0.0
        self.register_buffer("window", window, persistent=False)

    @property
    def context_size(self) -> int:
        """Number of values a frame that the head gets."""
        return 2 * self.bins

    @property
    def evidence_size(self) -> int:
        """Number of values a frame that a policy gets."""
        return self.bands

    def macs(self) -> int:
        """Return 0: Fourier transforms and element-wise products are not counted."""
        return 0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis."""
        level: dict[str, tuple[int, ...]] = {"power": (1,), "weight": (1,)} if self.decay else {}
        return {"past": (self.n_fft - self.hop_length,)} | level

    def analyse(self, audio: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a chunk.

        Args:
            audio: (batch, time).
            past: (batch, hop) the samples before.

        Returns:
            Real and imaginary parts (batch, frame, 2, bin), and the next past.
        """
        joined, past = push(past, audio)
        hops = joined.unflatten(1, (-1, self.hop_length))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=2)
        return self.transform(frames * self.window), past

    def transform(self, frames: Tensor) -> Tensor:
        """Transform windowed samples (batch, frame, n_fft) to spectra (batch, frame, 2, bin)."""
        return torch.view_as_real(torch.fft.rfft(frames)).transpose(2, 3)[..., : self.bins]

    def in_bands(self, values: Tensor) -> Tensor:
        """Average bins (batch, frame, bin) below the Nyquist frequency in bands: (batch, frame * band)."""
        below = values[:, :, : self.n_fft // 2]
        return below.unflatten(2, (self.bands, -1)).mean(3).flatten(1)


def analysis_window(n_fft: int) -> Tensor:
    """Return the square root of a periodic Hann window, (n_fft,).

    Squares of windows that overlap by half sum to 1.

    Example:
        >>> window = analysis_window(8)
        >>> bool(torch.allclose(window[:4] ** 2 + window[4:] ** 2, torch.ones(4)))
        True
    """
    return torch.hann_window(n_fft, dtype=torch.float64).sqrt().float()
