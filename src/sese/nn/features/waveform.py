"""Framing for networks that work on samples: a running level, and a higher rate inside.

No normalisation looks at the whole clip: the level is an exponential average of the power of the frames so
far, the same offline and streamed. The gain ramps over each frame, and the head undoes it sample by sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.level import running_mean
from sese.nn.features.resample import AHEAD, MACS_PER_SAMPLE, TAPS, half_sample_kernel, upsample
from sese.nn.state import State

LEVEL_FLOOR = 1e-3
"""Added to the level, as DEMUCS does, so that silence is not blown up."""


class WaveformFeatures(nn.Module):
    """Samples at a steady level and at `oversampling` times the rate.

    Args:
        hop_length: samples a frame at the outer rate.
        oversampling: 1, 2 or 4.
        level_frames: time constant of the running level, in frames.
    """

    kernel: Tensor

    def __init__(self, hop_length: int, oversampling: int, level_frames: int):
        super().__init__()
        self.hop_length = hop_length
        self.stages = {1: 0, 2: 1, 4: 2}[oversampling]
        self.decay = 1 - 1 / level_frames
        self.register_buffer("kernel", half_sample_kernel(), persistent=False)

    @property
    def lookahead_samples(self) -> int:
        """How late the output is, in samples of the outer rate."""
        return sum(AHEAD // 2**stage for stage in range(self.stages))

    @property
    def context_size(self) -> int:
        """Values a frame that the head gets."""
        return self.hop_length

    @property
    def evidence_size(self) -> int:
        """Values a frame that a policy sees."""
        return self.hop_length

    def macs(self) -> int:
        """Multiply-accumulates a frame; the level's few products are not counted."""
        return self.hop_length * sum(MACS_PER_SAMPLE * 2**stage for stage in range(self.stages))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state behind the batch axis."""
        shapes: dict[str, tuple[int, ...]] = {"power": (1,), "weight": (1,), "gain": (1,)}
        return shapes | {f"upsample.{stage}": (TAPS - 1,) for stage in range(self.stages)}

    def forward(self, audio: Tensor, state: State) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Normalise and upsample.

        Args:
            audio: (batch, time) in [-1, 1], time a multiple of the hop.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time * oversampling), the level (batch, time) that the audio was divided by, next state.
        """
        frames = audio.unflatten(1, (-1, self.hop_length))
        power = frames.square().mean(2)
        average, after = running_mean(power, state, self.decay)
        gain = 1 / (average.sqrt() + LEVEL_FLOOR)
        before = torch.where(state["gain"] > 0, state["gain"], gain[:, :1])
        previous = torch.cat([before, gain[:, :-1]], dim=1)
        ramp = torch.arange(1, self.hop_length + 1, device=audio.device, dtype=audio.dtype) / self.hop_length
        gains = (previous.unsqueeze(2) + (gain - previous).unsqueeze(2) * ramp).flatten(1)
        after["gain"] = gain[:, -1:]
        signal = audio * gains
        for stage in range(self.stages):
            name = f"upsample.{stage}"
            signal, after[name] = upsample(signal, state[name], self.kernel)
        return signal, 1 / gains, after

    def evidence(self, audio: Tensor, signal: Tensor, level: Tensor) -> Tensor:
        """What a policy sees: the samples at the outer rate at a steady level, (batch, time)."""
        return audio / level
