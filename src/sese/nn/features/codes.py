"""Bipolar codes of short-time spectra: the input of a bitwise network.

The power of each bin over its running level is quantised to one of a few components. The number of the
component is written in bits of -1 and +1, so that the network's input is bits like its weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.nn.features.log_power import LogPowerFeatures
from sese.nn.state import State

LOWEST, HIGHEST = -4.0, 2.0
"""Range of log powers, relative to the level, over which a fresh network spreads its components."""


class CodeFeatures(LogPowerFeatures):
    """Quantise log powers.

    Args:
        n_fft: samples in a window: two hops, and a multiple of twice the bands.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        code_bits: bits of each bin.

    Attributes:
        thresholds: (component - 1,) log powers between the components, ascending; `training.codes` sets them.
            They are saved with the weights, but not learned by gradients.
    """

    thresholds: Tensor
    codebook: Tensor

    def __init__(self, n_fft: int, hop_length: int, level_frames: int, code_bits: int = 4):
        super().__init__(n_fft, hop_length, level_frames)
        self.code_bits, count = code_bits, 2**code_bits
        self.register_buffer("thresholds", torch.linspace(LOWEST, HIGHEST, count - 1))
        numbers = torch.arange(count).unsqueeze(1)
        bits = numbers // 2 ** torch.arange(code_bits) % 2
        self.register_buffer("codebook", 2.0 * bits - 1.0, persistent=False)

    @property
    def signal_size(self) -> int:
        """Number of values a frame that the network gets."""
        return self.bins * self.code_bits

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform and quantise.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            Codes (batch, frame * bin * bit) of -1 and +1, lowest bit first, the spectrum
            (batch, frame * 2 * bin), a frame's real parts before its imaginary ones, and the next state.
        """
        power, spectrum, after = super().forward(audio, state)
        return F.embedding(self.components(power), self.codebook).flatten(1), spectrum, after

    def components(self, power: Tensor) -> Tensor:
        """Return the number of each log power's component, in the same shape."""
        return torch.bucketize(power, self.thresholds)
