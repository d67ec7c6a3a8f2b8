"""From spectra back to samples by overlap-add: the base of all heads on spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.parts import Head
from sese.nn.state import State, delay


class OverlapAddHead(Head):
    """Synthesise spectra; each kind of head computes them its own way.

    Args:
        window: (n_fft,) synthesis window, two hops long.
        bins: number of bins of the spectra, from the lowest; higher bins are zero.
    """

    window: Tensor

    def __init__(self, window: Tensor, bins: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins = len(window), len(window) // 2, bins
        self.register_buffer("window", window, persistent=False)

    @property
    def lookahead_samples(self) -> int:
        """Samples by which the output is late: a sample is complete with the last window that covers it."""
        return self.n_fft - self.hop_length

    def macs(self) -> int:
        """Return 0: Fourier transforms and element-wise products are not counted."""
        return 0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis."""
        return {"overlap": (1, self.n_fft - self.hop_length)}

    def synthesise(self, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Synthesise spectra (batch, frame, 2, bin): samples (batch, time), and the next state."""
        return self.overlapped(self.transform(spectrum) * self.window, state)

    def overlapped(self, frames: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up windowed frames (batch, frame, n_fft): samples (batch, time), and the next state."""
        # Each window's first half meets the second half of the one before.
        first, second = frames.split(self.hop_length, dim=2)
        late, overlap = delay(state["overlap"], second)
        return (first + late).flatten(1), {"overlap": overlap}

    def transform(self, spectrum: Tensor) -> Tensor:
        """Transform real and imaginary parts (batch, frame, 2, bin) to samples (batch, frame, n_fft)."""
        real, imaginary = spectrum.unbind(2)
        return torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)
