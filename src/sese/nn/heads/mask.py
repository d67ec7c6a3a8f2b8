"""A complex mask on the spectrum, and back to samples by overlap-add."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.stft import analysis_window
from sese.nn.state import State, delay


class MaskHead(nn.Module):
    """Mask the spectrum of `SpectralFeatures` and transform it back.

    The mask m acts on the compressed spectrum; back at full dynamics, where magnitudes are cubed, that is a
    mask m |m|^2 on the spectrum itself. Small values there come from not so small ones here, and so
    suppression can be deep.

    Args:
        n_fft: samples in a window, twice the hop.
        hop_length: samples a frame.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft, self.hop_length, self.bins = n_fft, hop_length, n_fft // 2
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

    def forward(self, mask: Tensor, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mask and synthesise.

        Args:
            mask: (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            spectrum: the same of the noisy signal.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        mask, spectrum = (x.unflatten(1, (-1, 2, self.bins)) for x in (mask, spectrum))
        mask = mask * mask.square().sum(2, keepdim=True)
        real, imaginary = mask.split(1, dim=2)
        turned = torch.cat([-spectrum[:, :, 1:], spectrum[:, :, :1]], dim=2)
        frames = self.transform(real * spectrum + imaginary * turned) * self.window
        # Each window's first half meets the second half of the one before.
        first, second = frames.split(self.hop_length, dim=2)
        late, overlap = delay(state["overlap"], second)
        return (first + late).flatten(1), {"overlap": overlap}

    def transform(self, spectrum: Tensor) -> Tensor:
        """Real and imaginary parts (batch, frame, 2, bin) -> samples (batch, frame, n_fft)."""
        real, imaginary = spectrum.unbind(2)
        return torch.fft.irfft(torch.complex(real, imaginary), self.n_fft)
