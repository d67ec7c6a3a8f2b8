"""Compressed spectra back to samples, by their levels and overlap-add."""

from __future__ import annotations

from torch import Tensor

from sese.nn.features.short_time import analysis_window
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.state import State


class SpectrumHead(OverlapAddHead):
    """Return the spectra of `LevelledFeatures` to their level and their dynamics, and transform them back.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
    """

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__(analysis_window(n_fft), hop_length)

    def forward(self, compressed: Tensor, level: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Expand and synthesise.

        Args:
            compressed: (batch, frame * 2 * bin) at a steady level, a frame's real parts before its imaginary
                ones.
            level: (batch, frame) of the compressed magnitudes.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        spectrum = compressed.unflatten(1, (-1, 2, self.bins)) * level.unflatten(1, (-1, 1, 1))
        return self.synthesise(spectrum * spectrum.square().sum(2, keepdim=True), state)
