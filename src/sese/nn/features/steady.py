"""Compressed spectra at a level that loud sounds, digital silence and offsets do not disturb.

Faults of recordings are removed here, where it costs little. A constant offset is tracked and subtracted.
Frames of digital silence do not count in the level. The level stays near that of the last frames when sounds
become much louder or softer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.features.level import audible, ramps, smooth
from sese.nn.features.short_time import ShortTimeFeatures, analysis_window
from sese.nn.features.stft import COMPRESSION, LEVEL_FLOOR, POWER_FLOOR
from sese.nn.state import State

OFFSET_FRAMES = 16
"""Time constant of the offset in frames: long against a period of the deepest voice, so that speech stays."""

RECENT_FRAMES = 16
"""Time constant of the level of the last frames, in frames."""

MOST = 4.0
"""Largest ratio between the level and that of the last frames, as powers of compressed magnitudes: 4 is 18 dB
of the sound's own power."""

LEAST = POWER_FLOOR**COMPRESSION
"""Lowest level, as a mean square: that of bins at their lowest power. The averages are lower only where they
hold no sound, at the start or after seconds of digital silence, and nothing may be divided by that."""

FORGOTTEN = 1e-6
"""Added to weights, so that a level starts anew after long silence."""


class SteadyFeatures(ShortTimeFeatures):
    """Compute magnitudes and real and imaginary parts, all compressed, at a steady level.

    The bin at the Nyquist frequency is left out.

    Args:
        n_fft: samples in a window: two hops.
        hop_length: samples a frame.
        level_frames: time constant of the running level, in frames.
        bands: evenly wide bands that a policy gets.
    """

    def __init__(self, n_fft: int, hop_length: int, level_frames: int, bands: int = 32):
        super().__init__(analysis_window(n_fft), n_fft // 2, level_frames, bands)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis."""
        return {"past": (self.n_fft - self.hop_length,), "offset": (1,), "level": (4,)}

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Transform, compress and normalise.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, frame * 3 * bin), all compressed, magnitudes before real and imaginary parts;
            the spectrum (batch, frame * 2 * bin), and the next state.
        """
        centred, offset = self._centred(audio, state["offset"])
        spectrum, past = self.analyse(centred, state["past"])
        signal, levels = self.steadied(spectrum, audio, state["level"])
        return signal.flatten(1), spectrum.flatten(1), {"past": past, "offset": offset, "level": levels}

    def steadied(self, spectrum: Tensor, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compress spectra and divide them by their level.

        Args:
            spectrum: (batch, frame, 2, bin) without offsets.
            audio: (batch, time) before the offset is subtracted; it says which frames are silence.
            state: ``level``, as in `state_shapes`.

        Returns:
            (batch, frame, 3, bin) as `forward` returns them, and the next state.
        """
        power = spectrum.square().sum(2, keepdim=True).clamp_min(POWER_FLOOR)
        scale = power ** ((COMPRESSION - 1) / 2)
        magnitude = power.sqrt() * scale
        size = magnitude.square().flatten(2).mean(2)
        level, levels = self._level(size, audio, state)
        return torch.cat([magnitude, spectrum * scale], dim=2) / level.unflatten(1, (-1, 1, 1)), levels

    def _centred(self, audio: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Subtract the offset, interpolated linearly from each frame's estimate to the next."""
        hops = audio.unflatten(1, (-1, self.hop_length))
        offset = smooth(hops.mean(2), before, 1 - 1 / OFFSET_FRAMES)
        earlier = torch.cat([before, offset], dim=1)[:, :-1]
        return (hops - ramps(earlier, offset, self.hop_length)).flatten(1), offset[:, -1:]

    def _level(self, size: Tensor, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level of each frame (batch, frame), and the next averages.

        Args:
            size: (batch, frame) mean squares of compressed magnitudes.
            audio: (batch, time) before the offset is subtracted, since a rest of it is no silence.
            state: (batch, 4) averages of the sizes over a long and a short time, then of their weights.
        """
        state = state.unflatten(1, (2, 2))
        weight = audible(audio.unflatten(1, (-1, self.hop_length)))
        both = (weight * size, weight)
        averages = []
        for column, decay in ((0, self.decay), (1, 1 - 1 / RECENT_FRAMES)):
            before = state[:, :, column].split(1, dim=1)
            smoothed = [smooth(x, start, decay) for x, start in zip(both, before, strict=True)]
            averages.append(torch.stack(smoothed, dim=1))
        slow, recent = (average[:, 0] / (average[:, 1] + FORGOTTEN) for average in averages)
        steady = torch.maximum(torch.minimum(slow, recent * MOST), recent / MOST)
        after = torch.stack([average[:, :, -1] for average in averages], dim=2).flatten(1)
        return steady.clamp_min(LEAST).sqrt() + LEVEL_FLOOR, after

    def evidence(self, audio: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        """Return mean compressed magnitudes of evenly wide bands, (batch, frame * band)."""
        magnitude = signal.unflatten(1, (-1, 3, self.bins))[:, :, 0]
        return self.in_bands(magnitude)
