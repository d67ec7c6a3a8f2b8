"""From spectra back to samples by overlap-add: what heads on spectra have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.parts import Head
from sese.nn.state import State, delay


class OverlapAddHead(Head):
    """Synthesis of the spectra that a kind of head makes.

    Args:
        window: (n_fft,) of the synthesis, two hops long.
        bins: of the spectra, from the lowest; those above are zero.
    """

    window: Tensor

    def __init__(self, window: Tensor, bins: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins = len(window), len(window) // 2, bins
        self.register_buffer("window", window, persistent=False)

    @property
    def lookahead_samples(self) -> int:
        """How late the output is: a sample is whole when the last window that has it has come."""
        return self.n_fft - self.hop_length

    def macs(self) -> int:
        """Multiply-accumulates a frame; Fourier transforms and element-wise products are not counted."""
        return 0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        return {"overlap": (1, self.n_fft - self.hop_length)}

    def synthesise(self, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Spectra (batch, frame, 2, bin) -> (batch, time), and the next state."""
        frames = self.transform(spectrum) * self.window
        # Each window's first half meets the second half of the one before.
        first, second = frames.split(self.hop_length, dim=2)
        late, overlap = delay(state["overlap"], second)
        return (first + late).flatten(1), {"overlap": overlap}

    def transform(self, spectrum: Tensor) -> Tensor:
        """Real and imaginary parts (batch, frame, 2, bin) -> samples (batch, frame, n_fft)."""
        real, imaginary = spectrum.unbind(2)
        return torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)
