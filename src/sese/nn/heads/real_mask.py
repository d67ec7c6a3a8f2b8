"""A real mask on the spectrum, without a change of phase, and back to samples by overlap-add."""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.heads.overlap_add import OverlapAddHead
from sese.nn.state import State, delay


class RealMaskHead(OverlapAddHead):
    """Mask the spectrum of `MagnitudeFeatures` and transform it back.

    The synthesis window is the analysis window divided by the sum of the squares that meet in a sample, so
    that a mask of ones returns the signal.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
        late: frames by which masks are late; spectra are delayed by the same time.
    """

    def __init__(self, n_fft: int, hop_length: int, late: int = 0):
        window = torch.hann_window(n_fft, dtype=torch.float64)
        window = window / (window.square() + window.roll(hop_length).square())
        super().__init__(window.float(), hop_length + 1)
        self.late = late

    @property
    def lookahead_samples(self) -> int:
        """Samples by which the output is late."""
        return super().lookahead_samples + self.late * self.hop_length

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis."""
        held = {"spectrum": (self.late, 2 * self.bins)} if self.late else {}
        return super().state_shapes() | held

    def forward(self, mask: Tensor, spectrum: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Mask and synthesise.

        Args:
            mask: (batch, frame * bin).
            spectrum: (batch, frame * 2 * bin), a frame's real parts before its imaginary ones.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        after: dict[str, Tensor] = {}
        if self.late:
            frames, after["spectrum"] = delay(state["spectrum"], spectrum.unflatten(1, (-1, 2 * self.bins)))
            spectrum = frames.flatten(1)
        masked = spectrum.unflatten(1, (-1, 2, self.bins)) * mask.unflatten(1, (-1, 1, self.bins))
        audio, overlap = self.synthesise(masked, state)
        return audio, after | overlap
