"""Framing for networks that work on samples: a running level, and a higher rate inside.

No normalisation looks at the whole clip: the level is an exponential average of the power of the frames so
far, the same offline and streamed. The gain ramps over each frame, and the head undoes it sample by sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sese.nn.features.resample import AHEAD, MACS_PER_SAMPLE, TAPS, half_sample_kernel, upsample
from sese.nn.state import State

LEVEL_FLOOR = 1e-3
"""Added to the level, as DEMUCS does, so that silence is not blown up."""

BLOCK = 256
"""Frames that the running level averages at once."""


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
        # The weight is what the frames so far have in the average: dividing by it makes the average exact
        # from the first frame on, with a state that starts at zero.
        average = smooth(power, state["power"], self.decay)
        past = powers(self.decay, frames.shape[1], power.device)
        weight = state["weight"] * past.to(power.dtype) + (1 - past).to(power.dtype)
        gain = 1 / ((average / weight).sqrt() + LEVEL_FLOOR)
        before = torch.where(state["gain"] > 0, state["gain"], gain[:, :1])
        previous = torch.cat([before, gain[:, :-1]], dim=1)
        ramp = torch.arange(1, self.hop_length + 1, device=audio.device, dtype=audio.dtype) / self.hop_length
        gains = (previous.unsqueeze(2) + (gain - previous).unsqueeze(2) * ramp).flatten(1)
        after = {"power": average[:, -1:], "weight": weight[:, -1:], "gain": gain[:, -1:]}
        signal = audio * gains
        for stage in range(self.stages):
            name = f"upsample.{stage}"
            signal, after[name] = upsample(signal, state[name], self.kernel)
        return signal, 1 / gains, after

    def evidence(self, audio: Tensor, signal: Tensor, level: Tensor) -> Tensor:
        """What a policy sees: the samples at the outer rate at a steady level, (batch, time)."""
        return audio / level


def powers(decay: float, frames: int, device: torch.device) -> Tensor:
    """What is left of the past after each frame: (frame,) decay ** 1, 2, ... in double precision."""
    return decay ** torch.arange(1, frames + 1, device=device, dtype=torch.float64)


def smooth(x: Tensor, before: Tensor, decay: float) -> Tensor:
    """Exponential average over frames, y[n] = decay * y[n - 1] + (1 - decay) * x[n], without a loop over n.

    A sum under the weights of all frames so far, in blocks; only powers from decay down occur, so nothing
    overflows.

    Args:
        x: (batch, frame).
        before: (batch, 1) the average before the first frame.
        decay: weight of the past, in (0, 1).
    """
    if x.shape[1] > BLOCK:
        parts = []
        for part in x.split(BLOCK, dim=1):
            parts.append(smooth(part, before, decay))
            before = parts[-1][:, -1:]
        return torch.cat(parts, dim=1)
    at = torch.arange(x.shape[1], device=x.device)
    age = at - at.unsqueeze(1)  # of frame (row) when frame (column) is the latest
    weights = torch.where(age >= 0, (1 - decay) * decay ** age.clamp_min(0).double(), 0.0).to(x.dtype)
    return (x.unsqueeze(2) * weights).sum(1) + before * powers(decay, x.shape[1], x.device).to(x.dtype)
