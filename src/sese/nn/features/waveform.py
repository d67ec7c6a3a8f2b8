"""Samples at a steady level, for networks that work on samples, and at a higher rate inside.

The level is an exponential average of the power of the frames so far, the same offline and streamed; nothing
needs the whole clip. The gain ramps over each frame, and the head reverses it sample by sample.

A constant offset is tracked and subtracted. Frames of digital silence do not count in the level. After a loud
sound the level falls with the loudest of the last frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.nn.features.level import FORGOTTEN, audible, held_mean, ramps
from sese.nn.features.resample import AHEAD, MACS_PER_SAMPLE, TAPS, half_sample_kernel, upsample
from sese.nn.features.short_time import analysis_window
from sese.nn.features.stft import COMPRESSION
from sese.nn.parts import Features
from sese.nn.state import State

LEVEL_FLOOR = 1e-3
"""Added to the level, as in DEMUCS, so that silence is not amplified."""

OFFSET_SHARE = 1 / 8
"""Time constant of the offset, as a share of the level's: long against a period of the deepest voice."""

LAST_SHARE, LAST_LIMIT = 1 / 10, 2.0
"""The level's power is at most twice that of the loudest frame within this share of its time constant. The
level dips in a pause, and returns when speech continues."""

LASTING_SHARE = 1 / 2
"""The average itself is at most the power of the loudest frame within this share of its time constant: after
that time a sound counts as ended, and the average forgets it."""

FALL = 10.0
"""Largest ratio by which the gain may fall over one frame: it limits how far a sudden sound is amplified."""

NO_LIMIT = 1e4
"""Power used for a frame that does not count: it is no limit for the level."""

BAND_FLOOR = 1e-6
"""Added to the power of a band, whose level is steady, so that silence has no extreme values."""


class WaveformFeatures(Features):
    """Bring samples to a steady level and to `oversampling` times the rate.

    Args:
        hop_length: samples a frame at the outer rate.
        oversampling: 1, 2 or 4.
        level_frames: time constant of the running level, in frames.
        bands: largest number of evenly wide bands that a policy gets; 0 if it gets the samples.
    """

    kernel: Tensor
    spectral: Tensor

    def __init__(self, hop_length: int, oversampling: int, level_frames: int, bands: int = 0):
        super().__init__()
        self.hop_length = hop_length
        self.bands = math.gcd(bands, hop_length // 2) if bands else 0
        self.stages = {1: 0, 2: 1, 4: 2}[oversampling]
        self.decay = 1 - 1 / level_frames
        self.offset_decay = 1 - 1 / max(2, round(level_frames * OFFSET_SHARE))
        self.last_frames = max(2, round(level_frames * LAST_SHARE))
        self.lasting_frames = max(self.last_frames + 1, round(level_frames * LASTING_SHARE))
        self.register_buffer("kernel", half_sample_kernel(), persistent=False)
        if bands:
            self.register_buffer("spectral", _transform(hop_length), persistent=False)

    @property
    def lookahead_samples(self) -> int:
        """Samples of the outer rate by which the signal is late."""
        return sum(AHEAD // 2**stage for stage in range(self.stages))

    @property
    def context_size(self) -> int:
        """Number of values a frame that the head gets."""
        return self.hop_length

    @property
    def evidence_size(self) -> int:
        """Number of values a frame that a policy gets."""
        return self.bands or self.hop_length

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame, without the level's few products and the transform."""
        return self.hop_length * sum(MACS_PER_SAMPLE * 2**stage for stage in range(self.stages))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis."""
        shapes: dict[str, tuple[int, ...]] = {"power": (1,), "weight": (1,), "gain": (1,)}
        shapes |= {"offset": (1,), "offset_weight": (1,), "recent": (self.lasting_frames - 1,)}
        return shapes | {f"upsample.{stage}": (TAPS - 1,) for stage in range(self.stages)}

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Normalise and upsample.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            Samples (batch, time * oversampling), the level (batch, time) that the audio was divided by, and
            the next state.
        """
        signal, level, after = self.levelled(audio, state)
        for stage in range(self.stages):
            name = f"upsample.{stage}"
            signal, after[name] = upsample(signal, state[name], self.kernel)
        return signal, level, after

    def levelled(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Compute `forward` without the change of rate and its state."""
        frames = audio.unflatten(1, (-1, self.hop_length))
        heard = audible(frames)
        frames, after = self._centred(frames, heard, state)
        power = frames.square().mean(2)
        recent = torch.cat([state["recent"], power + (1 - heard) * NO_LIMIT], dim=1)
        lasting = F.max_pool1d(recent.unsqueeze(1), self.lasting_frames, 1).squeeze(1)
        average, weight, level = held_mean(power, heard, state, self.decay, lasting)
        last = recent[:, self.lasting_frames - self.last_frames :]
        last = F.max_pool1d(last.unsqueeze(1), self.last_frames, 1).squeeze(1)
        average = torch.minimum(average, LAST_LIMIT * last)
        # No level is known before the first sound, and no gain ramps from there.
        gain = 1 / (average.sqrt() + LEVEL_FLOOR)
        known = torch.where(weight > FORGOTTEN, gain, 0.0)
        previous = torch.cat([state["gain"], known[:, :-1]], dim=1)
        previous = torch.minimum(torch.where(previous > 0, previous, gain), FALL * gain)
        gains = ramps(previous, gain, self.hop_length).flatten(1)
        after |= level | {"gain": known[:, -1:], "recent": recent[:, -(self.lasting_frames - 1) :]}
        return frames.flatten(1) * gains, 1 / gains, after

    def _centred(self, frames: Tensor, heard: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Subtract the offset from frames (batch, frame, time) that count, and return its next state."""
        before = {"power": state["offset"], "weight": state["offset_weight"]}
        offset, weight, after = held_mean(frames.mean(2), heard, before, self.offset_decay)
        last = before["power"] / before["weight"].clamp_min(FORGOTTEN)
        previous = torch.cat([last, offset[:, :-1]], dim=1)
        known = torch.cat([before["weight"], weight[:, :-1]], dim=1) > FORGOTTEN
        track = ramps(torch.where(known, previous, offset), offset, self.hop_length)
        centred = (frames - track) * heard.unsqueeze(2)
        return centred, {"offset": after["power"], "offset_weight": after["weight"]}

    def evidence(self, audio: Tensor, signal: Tensor, level: Tensor) -> Tensor:
        """Return samples (batch, time) at the outer rate, or bands (batch, frame * band).

        Samples are at a steady level and without offset. Upsampled samples come late, so in that case each
        frame's own mean is used as the offset. Bands are the powers of their bins, summed and compressed as
        magnitudes are.
        """
        if self.stages:
            frames = audio.unflatten(1, (-1, self.hop_length))
            signal = (frames - frames.mean(2, keepdim=True)).flatten(1) / level
        if not self.bands:
            return signal
        spectrum = signal.unflatten(1, (-1, self.hop_length)) @ self.spectral
        power = spectrum.square().unflatten(2, (2, self.bands, -1)).sum((2, 4))
        return (power + BAND_FLOOR).pow(COMPRESSION / 2).flatten(1)


def _transform(size: int) -> Tensor:
    """Return a windowed Fourier transform as a matrix (sample, 2 * bin), without the Nyquist frequency.

    A product with it, of a frame as short as this, is as quick as a fast transform.
    """
    turns = torch.outer(torch.arange(size), torch.arange(size // 2)) % size * (2 * math.pi / size)
    window = analysis_window(size).unsqueeze(1) / math.sqrt(size)
    return torch.cat([turns.cos() * window, -turns.sin() * window], dim=1)
