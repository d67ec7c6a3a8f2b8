"""A real mask on the spectrum, whose phase is kept, and back to samples by overlap-add."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.state import State, delay


class RealMaskHead(nn.Module):
    """Mask the spectrum of `MagnitudeFeatures` and transform it back.

    The window is that of the analysis, divided by the sum of the squares that meet in a sample, so that a
    mask of ones gives the signal back.

    Args:
        n_fft: samples in a window, twice the hop.
        hop_length: samples a frame.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins = n_fft, hop_length, n_fft // 2 + 1
        window = torch.hann_window(n_fft, dtype=torch.float64)
        window = window / (window.square() + window.roll(hop_length).square())
        self.register_buffer("window", window.float(), persistent=False)

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

    def forward(self, mask: Tensor, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mask and synthesise.

        Args:
            mask: (batch, frame * bin).
            spectrum: (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        masked = spectrum.unflatten(1, (-1, 2, self.bins)) * mask.unflatten(1, (-1, 1, self.bins))
        frames = self.transform(masked) * self.window
        # Each window's first half meets the second half of the one before.
        first, second = frames.split(self.hop_length, dim=2)
        late, overlap = delay(state["overlap"], second)
        return (first + late).flatten(1), {"overlap": overlap}

    def transform(self, spectrum: Tensor) -> Tensor:
        """Real and imaginary parts (batch, frame, 2, bin) -> samples (batch, frame, n_fft)."""
        real, imaginary = spectrum.unbind(2)
        return torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)
