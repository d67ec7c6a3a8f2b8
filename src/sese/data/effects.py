"""Effects on clips [row, time] that are not filters: fades, changes of level, gaps, sines and mu-law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

GAP_FADE_S = 0.002  # length of the fades before and after a gap
MU_LAW_SCALE, MU_LAW_BIAS = 8159.0, 33.0  # G.711: full scale, and the offset that makes the segments double
_SINE_BLOCK = 256  # samples


def fades(positions: Sequence[tuple[int, int]], time: int, device: torch.device) -> Tensor:
    """Return gains that rise from 0 to 1, or fall from 1 to 0.

    Args:
        positions: Middle and length of the fade of each row, in samples. A negative length falls.
        time: Samples in a clip.
        device: Device of the result.

    Returns:
        Gains, float32 [row, time].
    """
    middle, length = torch.tensor(positions, dtype=torch.float32, device=device).T[..., None]
    return ((torch.arange(time, device=device) - middle) / length + 0.5).clamp_(0.0, 1.0)


def level_changes(changes: Sequence[tuple[float, int, int]], time: int, device: torch.device) -> Tensor:
    """Return gains that are 1 at first and change once, smoothly.

    Args:
        changes: Change in dB, first sample of the change, and its length in samples, of each row.
        time: Samples in a clip.
        device: Device of the result.

    Returns:
        Gains, float32 [row, time].
    """
    decibels, begin, length = torch.tensor(changes, dtype=torch.float32, device=device).T[..., None]
    done = ((torch.arange(time, device=device) - begin) / length).clamp_(0.0, 1.0)
    smooth = done.square() * done.mul_(-2).add_(3)
    return smooth.mul_(10 ** (decibels / 20) - 1).add_(1)


def gaps(
    positions: Sequence[Sequence[tuple[int, int]]], time: int, fade: int, device: torch.device
) -> Tensor:
    """Return gains that are 0 in gaps and 1 elsewhere, with fades on both sides of each gap.

    Args:
        positions: First sample and length of each gap, for each row. Gaps may overlap.
        time: Samples in a clip.
        fade: Length of a fade in samples, outside the gap.
        device: Device of the result.

    Returns:
        Gains, float32 [row, time].
    """
    gains = torch.ones(len(positions), time, device=device)
    flat = [(row, *gap) for row, row_gaps in enumerate(positions) for gap in row_gaps]
    row, begin, length = torch.tensor(flat, device=device).T[..., None]
    # Each gap gets as many samples as the longest: [gap, sample].
    t = torch.arange(-fade, max(gap[2] for gap in flat) + fade, device=device)
    distance = torch.maximum(-t, t - length + 1)  # samples to the gap; 0 or less within it
    gain = (distance / (fade + 1)).clamp_(0.0, 1.0)
    t = begin + t
    gain.masked_fill_((t < 0) | (t >= time), 1.0)
    index = row * time + t.clamp_(0, time - 1)
    gains.view(-1).scatter_reduce_(0, index.flatten(), gain.flatten(), "amin")
    return gains


def sines(
    partials: Sequence[Sequence[tuple[float, float, float]]], time: int, rate: int, device: torch.device
) -> Tensor:
    """Return sums of sines.

    The sine of a sum of two angles is a sum of two products. So sines are computed only for the first sample
    of each block and for the samples of one block, and matrix products give all others.

    Args:
        partials: Frequency in Hz, amplitude, and phase in cycles of each sine, for each row.
        time: Samples in a clip.
        rate: Sample rate in Hz.
        device: Device of the result.

    Returns:
        Clips, float32 [row, time].
    """
    most = max(map(len, partials))
    silent = (0.0, 0.0, 0.0)
    padded = np.array([[*row, *[silent] * (most - len(row))] for row in partials])  # [row, sine, 3]
    hertz, amplitude, phase = np.moveaxis(padded, 2, 0)[..., None]
    starts = 2 * np.pi * (hertz / rate * np.arange(0, time, _SINE_BLOCK) + phase)
    within = 2 * np.pi * hertz / rate * np.arange(_SINE_BLOCK)
    left = amplitude[..., None] * np.stack([np.sin(starts), np.cos(starts)], axis=2)  # [row, sine, 2, block]
    right = np.stack([np.cos(within), np.sin(within)], axis=2)
    first, second = (
        torch.from_numpy(side.astype(np.float32)).to(device).flatten(1, 2) for side in (left, right)
    )
    return (first.transpose(1, 2) @ second).flatten(1)[:, :time].contiguous()


def mu_law(clips: Tensor) -> Tensor:
    """Return clips in [-1, 1] after encoding to 8-bit mu-law (G.711) and decoding.

    For each sign, the curve has eight segments of sixteen equal steps, and each segment is twice as long as
    the one before. A floating-point number has this structure too: keeping the exponent and four bits of the
    fraction rounds to the same steps.
    """
    size = (clips.abs() * MU_LAW_SCALE).clamp_(max=MU_LAW_SCALE - 1).add_(MU_LAW_BIAS)
    size.view(torch.int32).bitwise_and_(-1 << 19).bitwise_or_(1 << 18)  # the middle of the step
    return torch.copysign(size.sub_(MU_LAW_BIAS).div_(MU_LAW_SCALE), clips)
