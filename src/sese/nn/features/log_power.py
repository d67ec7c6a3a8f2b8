"""Log power spectra, a frame a hop, all bins from zero to the Nyquist frequency.

This is the feature of nsNet2: log10 of each bin's power, with a lower limit. The power is first divided by
its running level, the same offline and streamed, so that loudness has no effect. Without a level the feature
is as published.
"""

from __future__ import annotations

from torch import Tensor

from sese.nn.features.level import running_mean
from sese.nn.features.short_time import ShortTimeFeatures, analysis_window
from sese.nn.state import State

POWER_FLOOR = 1e-12
"""Lowest power before the logarithm, as in Microsoft's nsNet2 baseline."""

LEVEL_FLOOR = 1e-4
"""Added to the level of power, so that silence is not amplified; noise at -64 dB of full scale, n_fft 512."""


class LogPowerFeatures(ShortTimeFeatures):
    """Compute short-time spectra and the logarithm of their power.

    Args:
        n_fft: samples in a window: two hops, and a multiple of twice the bands.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames; 0 for no level.
        bands: evenly wide bands that a policy gets.
    """

    def __init__(self, n_fft: int, hop_length: int, level_frames: int, bands: int = 32):
        super().__init__(analysis_window(n_fft), hop_length + 1, level_frames, bands)

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform and take the logarithm.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            Log powers (batch, frame * bin), the spectrum (batch, frame * 2 * bin), a frame's real parts
            before its imaginary ones, and the next state.
        """
        spectrum, past = self.analyse(audio, state["past"])
        power, after = spectrum.square().sum(2), {"past": past}
        if self.decay:
            average, level = running_mean(power.mean(2), state, self.decay)
            power, after = power / (average + LEVEL_FLOOR).unsqueeze(2), after | level
        return power.clamp_min(POWER_FLOOR).log10().flatten(1), spectrum.flatten(1), after

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """Return mean log powers of evenly wide bands below the last bin, (batch, frame * band)."""
        return self.in_bands(signal.unflatten(1, (-1, self.bins)))
