"""A real gain for each bin of the spectrum, and back to samples by overlap-add."""

from __future__ import annotations

from torch import Tensor

from sese.nn.features.short_time import analysis_window
from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.state import State

LOWEST_GAIN = 10 ** (-80 / 20)
"""Lowest gain of a bin, as in Microsoft's nsNet2 baseline: -80 dB."""


class GainHead(OverlapAddHead):
    """Scale the spectrum of `LogPowerFeatures`, without a change of phase, and transform it back.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
    """

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__(analysis_window(n_fft), hop_length + 1)

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
        return self.synthesise(gains * spectrum.unflatten(1, (-1, 2, self.bins)), state)
