"""From a network's samples back to the waveform: the outer rate, and the input's level."""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.features.resample import AHEAD, MACS_PER_SAMPLE, TAPS, downsample, half_sample_kernel
from sese.nn.parts import Head
from sese.nn.state import State, delay


class WaveformHead(Head):
    """Return the samples of `WaveformFeatures` to the outer rate and to their level.

    Args:
        hop_length: samples a frame at the outer rate.
        oversampling: 1, 2 or 4.
        lookahead_samples: samples by which the output is late, the head's own delay included. The level is
            delayed by the same time, so that each sample meets the level that it was divided by.
    """

    kernel: Tensor

    def __init__(self, hop_length: int, oversampling: int, lookahead_samples: int):
        super().__init__()
        self.hop_length = hop_length
        self.stages = {1: 0, 2: 1, 4: 2}[oversampling]
        self.delay = lookahead_samples
        self.register_buffer("kernel", half_sample_kernel(), persistent=False)

    @staticmethod
    def lookahead_of(oversampling: int) -> int:
        """Return the head's own delay in samples of the outer rate."""
        return {1: 0, 2: AHEAD, 4: AHEAD + AHEAD // 2}[oversampling]

    def macs(self) -> int:
        """Return the multiply-accumulates of a frame."""
        return self.hop_length * sum(MACS_PER_SAMPLE * 2**stage for stage in range(self.stages))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state behind the batch axis."""
        shapes: dict[str, tuple[int, ...]] = {"level": (self.delay,)}
        return shapes | {f"downsample.{stage}": (TAPS, 2) for stage in range(self.stages)}

    def forward(self, signal: Tensor, level: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Downsample and multiply by the level.

        Args:
            signal: (batch, time * oversampling).
            level: (batch, time) from the features.
            state: tensors as in `state_shapes`.

        Returns:
            (batch, time), and the next state.
        """
        after = {}
        for stage in reversed(range(self.stages)):
            name = f"downsample.{stage}"
            signal, after[name] = downsample(signal, state[name], self.kernel)
        levels, after["level"] = delay(state["level"], level)
        return signal * levels.to(torch.float32), after
