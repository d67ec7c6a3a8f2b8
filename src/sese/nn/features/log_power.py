"""Log power spectra, a frame a hop, all bins from zero to the Nyquist frequency.

The feature of nsNet2: log10 of each bin's power, floored. The power is first divided by its running level,
the same offline and streamed, so that loudness decides nothing; without a level the feature is as published.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.stft import analysis_window
from sese.nn.features.waveform import powers, smooth
from sese.nn.state import State, push

POWER_FLOOR = 1e-12
"""Lowest power that the logarithm sees, as in Microsoft's nsNet2 baseline."""

LEVEL_FLOOR = 1e-4
"""Added to the level of power, so that silence is not blown up; noise at -64 dB of full scale, n_fft 512."""


class LogPowerFeatures(nn.Module):
    """Short-time spectra, and the logarithm of their power.

    Args:
        n_fft: samples in a window, twice the hop, a multiple of twice the bands.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames; 0 for no level.
        bands: that a policy sees, evenly wide.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int, level_frames: int, bands: int = 32):
        super().__init__()
        self.n_fft, self.hop_length, self.bins, self.bands = n_fft, hop_length, n_fft // 2 + 1, bands
        self.decay = 1 - 1 / level_frames if level_frames else 0.0
        self.register_buffer("window", analysis_window(n_fft), persistent=False)

    @property
    def context_size(self) -> int:
        """Values a frame that the head gets."""
        return 2 * self.bins

    @property
    def evidence_size(self) -> int:
        """Values a frame that a policy sees."""
        return self.bands

    def macs(self) -> int:
        """Multiply-accumulates a frame; Fourier transforms and element-wise products are not counted."""
        return 0

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        level: dict[str, tuple[int, ...]] = {"power": (1,), "weight": (1,)} if self.decay else {}
        return {"past": (self.n_fft - self.hop_length,)} | level

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform and take the logarithm.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            Log powers (batch, frame * bin), the spectrum (batch, frame * 2 * bin), a frame's real parts
            before its imaginary ones, and the next state.
        """
        joined, past = push(state["past"], audio)
        hops = joined.unflatten(1, (-1, self.hop_length))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=2)
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window)).transpose(2, 3)
        power, after = spectrum.square().sum(2), {"past": past}
        if self.decay:
            # As in `WaveformFeatures`, the weight makes the average exact from the first frame on.
            size = power.mean(2)
            average = smooth(size, state["power"], self.decay)
            kept = powers(self.decay, size.shape[1], size.device)
            weight = state["weight"] * kept.to(size.dtype) + (1 - kept).to(size.dtype)
            power = power / (average / weight + LEVEL_FLOOR).unsqueeze(2)
            after |= {"power": average[:, -1:], "weight": weight[:, -1:]}
        return power.clamp_min(POWER_FLOOR).log10().flatten(1), spectrum.flatten(1), after

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """What a policy sees: mean log powers of even bands below the last bin, (batch, frame * band)."""
        below = signal.unflatten(1, (-1, self.bins))[..., : self.bins - 1]
        return below.unflatten(2, (self.bands, -1)).mean(3).flatten(1)
