"""Short-time spectra, a frame a hop: what features of spectra have in common.

A frame is the hop that has come and the one before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.parts import Features
from sese.nn.state import push


class ShortTimeFeatures(Features):
    """Spectra under a window, for the head; what the network hears is up to the kind.

    Args:
        window: (n_fft,), two hops long.
        bins: that are kept, from the lowest: n_fft / 2, or that and the one at the Nyquist frequency.
        level_frames: time constant of the running level, in frames; 0 for no level.
        bands: that a policy sees, evenly wide.
    """

    window: Tensor

    def __init__(self, window: Tensor, bins: int, level_frames: int, bands: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins, self.bands = len(window), len(window) // 2, bins, bands
        self.decay = 1 - 1 / level_frames if level_frames else 0.0
        self.register_buffer("window", window, persistent=False)

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
        level: dict[str, tuple[int, ...]] = {"power": (1,), "weight": (1,)} if self.decay else {}
        return {"past": (self.n_fft - self.hop_length,)} | level

    def analyse(self, audio: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (batch, time) and those before -> (batch, frame, 2, bin), and the next past."""
        joined, past = push(past, audio)
        hops = joined.unflatten(1, (-1, self.hop_length))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=2)
        return self.transform(frames * self.window), past

    def transform(self, frames: Tensor) -> Tensor:
        """Windowed samples (batch, frame, n_fft) -> (batch, frame, 2, bin) real and imaginary parts."""
        return torch.view_as_real(torch.fft.rfft(frames)).transpose(2, 3)[..., : self.bins]

    def in_bands(self, values: Tensor) -> Tensor:
        """Means of (batch, frame, bin) in even bands below the Nyquist frequency, (batch, frame * band)."""
        below = values[:, :, : self.n_fft // 2]
        return below.unflatten(2, (self.bands, -1)).mean(3).flatten(1)


def analysis_window(n_fft: int) -> Tensor:
    """Square root of a Hann window, periodic, with sums of squares over hops of half its length of 1."""
    return torch.hann_window(n_fft, dtype=torch.float64).sqrt().float()
