"""A complex mask on the spectrum, and back to samples by overlap-add."""

from __future__ import annotations

from torch import Tensor

from sese.nn.features.short_time import analysis_window
from sese.nn.features.stft import product
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.state import State


class MaskHead(OverlapAddHead):
    """Mask the spectrum of `SpectralFeatures` and transform it back.

    The mask m acts on the compressed spectrum. At full dynamics, where magnitudes are cubed, that is a mask
    m |m|^2 on the spectrum itself. A moderately small m suppresses deeply.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
    """

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__(analysis_window(n_fft), hop_length)

    def forward(self, mask: Tensor, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mask and synthesise.

        Args:
            mask: (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            spectrum: (batch, frame * 2 * bin) of the noisy signal, in the same order.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        mask, spectrum = (x.unflatten(1, (-1, 2, self.bins)) for x in (mask, spectrum))
        mask = mask * mask.square().sum(2, keepdim=True)
        return self.synthesise(product(spectrum, mask), state)

    def scaled(self, spectrum: Tensor, gain: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Scale the spectrum and synthesise: `forward` with the gain's cube root as the mask in all bins.

        Args:
            spectrum: (batch, frame * 2 * bin).
            gain: (batch or 1, frame).
            state: tensors as in `state_shapes`.
        """
        spectrum = spectrum.unflatten(1, (-1, 2, self.bins))
        return self.synthesise(spectrum * gain.unsqueeze(2).unsqueeze(3), state)
