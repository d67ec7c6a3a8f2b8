"""The running mean of a power: the same offline and streamed, and exact from the first frame on."""

from __future__ import annotations

import torch
from torch import Tensor

from sese.nn.state import State

BLOCK = 256
"""Frames that are averaged at once."""


def running_mean(x: Tensor, state: State, decay: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Exponential average of the frames so far.

    Args:
        x: (batch, frame).
        state: ``power``, the average, and ``weight``, what the frames so far have in it, each (batch, 1):
            dividing by the weight makes the average exact from the first frame on, with a state that starts
            at zero.
        decay: weight of the past, in (0, 1).

    Returns:
        (batch, frame), and the next ``power`` and ``weight``.
    """
    average = smooth(x, state["power"], decay)
    past = powers(decay, x.shape[1], x.device)
    weight = state["weight"] * past.to(x.dtype) + (1 - past).to(x.dtype)
    return average / weight, {"power": average[:, -1:], "weight": weight[:, -1:]}


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
