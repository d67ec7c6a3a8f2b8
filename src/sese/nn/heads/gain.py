"""A real gain for each bin of the spectrum, and back to samples by overlap-add."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.stft import analysis_window
from sese.nn.state import State, delay

LOWEST_GAIN = 10 ** (-80 / 20)
"""Of any bin, as in Microsoft's nsNet2 baseline."""


class GainHead(nn.Module):
    """Scale the spectrum of `LogPowerFeatures`, phases kept, and transform it back.

    Args:
        n_fft: samples in a window, twice the hop.
        hop_length: samples a frame.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins = n_fft, hop_length, n_fft // 2 + 1
        self.register_buffer("window", analysis_window(n_fft), persistent=False)

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

    def forward(self, gain: Tensor, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Scale and synthesise.

        Args:
            gain: (batch, frame * bin) in [0, 1].
            spectrum: (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        gains = gain.unflatten(1, (-1, 1, self.bins)).clamp_min(LOWEST_GAIN)
        real, imaginary = (gains * spectrum.unflatten(1, (-1, 2, self.bins))).unbind(2)
        frames = torch.fft.irfft(torch.complex(real, imaginary), self.n_fft) * self.window
        # Each window's first half meets the second half of the one before.
        first, second = frames.split(self.hop_length, dim=2)
        late, overlap = delay(state["overlap"], second)
        return (first + late).flatten(1), {"overlap": overlap}
