"""Running means of powers: the same offline and streamed, and exact from the first frame on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sese.nn.state import State

BLOCK = 256
"""Number of frames that are averaged at once."""

SILENCE = 1e-7
"""Largest magnitude of an input sample in a frame of digital silence: -140 dBFS."""

FORGOTTEN = 1e-6
"""Weight of an average below which it counts as forgotten."""


def running_mean(x: Tensor, state: State, decay: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the exponential average of the frames so far.

    Args:
        x: (batch, frame).
        state: ``power``, the average, and ``weight``, the share that the frames so far have in it, each
            (batch, 1). Dividing by the weight makes the average exact from the first frame on, although the
            state starts at zero.
        decay: weight of the past, in (0, 1).

    Returns:
        (batch, frame), and the next ``power`` and ``weight``.
    """
    average = smooth(x, state["power"], decay)
    past = powers(decay, x.shape[1], x.device)
    weight = state["weight"] * past.to(x.dtype) + (1 - past).to(x.dtype)
    return average / weight, {"power": average[:, -1:], "weight": weight[:, -1:]}


def held_mean(
    x: Tensor, heard: Tensor, state: State, decay: float, most: Tensor | None = None
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return the exponential average of the frames that count; the others leave it as it is.

    Args:
        x: (batch, frame).
        heard: (batch, frame) 1 for the frames that count, 0 for the others.
        state: ``power`` and ``weight``, as for `running_mean`.
        decay: weight of the past, in (0, 1).
        most: (batch, frame) limit of the average in each frame, or None. An average above it drops to it and
            continues from there.

    Returns:
        The average and its weight, (batch, frame) each; the average is 0 where no frame has counted yet, and
        fades where the weight has become less than `FORGOTTEN`. Then the next ``power`` and ``weight``.
    """
    weight = smooth(heard, state["weight"], decay)
    if most is None:
        power = smooth(x * heard, state["power"], decay)
    else:
        power = smooth_below(x * heard, most * weight, state["power"], decay)
    return power / weight.clamp_min(FORGOTTEN), weight, {"power": power[:, -1:], "weight": weight[:, -1:]}


def audible(frames: Tensor) -> Tensor:
    """Return 0 for frames (batch, frame, time) of digital silence, which do not count in a level, else 1."""
    return (frames.abs().amax(2) > SILENCE).to(frames.dtype)


def ramps(first: Tensor, last: Tensor, time: int) -> Tensor:
    """Interpolate from one value of each frame to another, linearly over `time` samples.

    Args:
        first, last: (batch, frame).
        time: samples in a frame.

    Returns:
        (batch, frame, time); the last sample of each frame has the second value.
    """
    ramp = torch.arange(1, time + 1, device=last.device, dtype=last.dtype) / time
    return first.unsqueeze(2) + (last - first).unsqueeze(2) * ramp


def powers(decay: float, frames: int, device: torch.device) -> Tensor:
    """Return the weight of the past after each frame: (frame,) decay ** 1, 2, ... in double precision."""
    return decay ** torch.arange(1, frames + 1, device=device, dtype=torch.float64)


def smooth(x: Tensor, before: Tensor, decay: float) -> Tensor:
    """Compute y[n] = decay * y[n - 1] + (1 - decay) * x[n] over frames without a loop over n.

    Each value is a weighted sum of the frames so far, in blocks. All weights are powers of decay, so nothing
    overflows.

    Args:
        x: (batch, frame).
        before: (batch, 1) the average before the first frame.
        decay: weight of the past, in (0, 1).

    Example:
        >>> smooth(torch.ones(1, 3), torch.zeros(1, 1), 0.5)
        tensor([[0.5000, 0.7500, 0.8750]])
    """
    if x.shape[1] > BLOCK:
        parts = []
        for part in x.split(BLOCK, dim=1):
            parts.append(smooth(part, before, decay))
            before = parts[-1][:, -1:]
        return torch.cat(parts, dim=1)
    at = torch.arange(x.shape[1], device=x.device)
    age = at - at.unsqueeze(1)  # age of frame (row) when frame (column) is the latest
    weights = torch.where(age >= 0, (1 - decay) * decay ** age.clamp_min(0).double(), 0.0).to(x.dtype)
    return (x.unsqueeze(2) * weights).sum(1) + before * powers(decay, x.shape[1], x.device).to(x.dtype)


def smooth_below(x: Tensor, most: Tensor, before: Tensor, decay: float) -> Tensor:
    """Compute y[n] = min(decay * y[n - 1] + (1 - decay) * x[n], most[n]) over frames without a loop over n.

    For each frame k, the average is at most the one that starts at the limit in frame k. It equals the
    smallest of all these.

    Args:
        x, most: (batch, frame), 0 or more.
        before: (batch, 1) the average before the first frame.
        decay: weight of the past, in (0, 1).
    """
    if x.shape[1] > BLOCK:
        parts = []
        for part, limit in zip(x.split(BLOCK, dim=1), most.split(BLOCK, dim=1), strict=True):
            parts.append(smooth_below(part, limit, before, decay))
            before = parts[-1][:, -1:]
        return torch.cat(parts, dim=1)
    if x.shape[1] == 1:  # a frame a call, where every operator counts
        return torch.minimum(smooth(x, before, decay), most)
    at = torch.arange(x.shape[1], device=x.device)
    age = at - at.unsqueeze(1)  # age of frame (row) when frame (column) is the latest
    left = torch.where(age >= 0, decay ** age.clamp_min(0).double(), 0.0).to(x.dtype)
    # Sums of positive terms: differences of large numbers would lose the quiet frames after a loud one.
    since = ((1 - decay) * x.unsqueeze(2) * left).flip(1).cumsum(1).flip(1)  # from frame (row) on
    later = F.pad(since[:, 1:], (0, 0, 0, 1))
    limited = torch.where(age >= 0, most.unsqueeze(2) * left + later, torch.inf)
    free = since[:, 0] + before * powers(decay, x.shape[1], x.device).to(x.dtype)
    return torch.minimum(free, limited.amin(1))
