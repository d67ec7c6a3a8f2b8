"""Effects on clips [row, time] that a filter does not make: fades, changes of level, gaps, sines, mu-law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

GAP_FADE_S = 0.002  # before and after a gap
MU_LAW_SCALE, MU_LAW_BIAS = 8159.0, 33.0  # of G.711: full scale, and what is added to bend the curve


def fades(places: Sequence[tuple[int, int]], time: int, device: torch.device) -> Tensor:
    """Gains [row, time] that go from 0 to 1, or back, around a place.

    places: of each row (middle of the fade, its length) in samples; a negative length goes from 1 to 0.
    """
    middle, length = torch.tensor(places, dtype=torch.float32, device=device).T[..., None]
    return ((torch.arange(time, device=device) - middle) / length + 0.5).clamp_(0.0, 1.0)


def level_changes(changes: Sequence[tuple[float, int, int]], time: int, device: torch.device) -> Tensor:
    """Gains [row, time] that are 1 and change once, without a corner.

    changes: of each row (dB, first sample of the change, samples until it is complete).
    """
    decibels, begin, length = torch.tensor(changes, dtype=torch.float32, device=device).T[..., None]
    done = ((torch.arange(time, device=device) - begin) / length).clamp_(0.0, 1.0)
    smooth = done.square() * done.mul_(-2).add_(3)
    return smooth.mul_(10 ** (decibels / 20) - 1).add_(1)


def gaps(places: Sequence[Sequence[tuple[int, int]]], time: int, fade: int, device: torch.device) -> Tensor:
    """Gains [row, time] that are 0 in gaps, with a fade of `fade` samples on either side, and else 1.

    places: of each row, (first sample, length) of each of its gaps, which may overlap.
    """
    gains = torch.ones(len(places), time, device=device)
    flat = [(row, *place) for row, of_row in enumerate(places) for place in of_row]
    row, begin, length = torch.tensor(flat, device=device).T[..., None]
    # Around each gap as many samples as around the longest: [gap, sample].
    t = torch.arange(-fade, max(place[2] for place in flat) + fade, device=device)
    outside = torch.maximum(-t, t - length + 1)  # samples to the gap, 0 or less in it
    gain = (outside / (fade + 1)).clamp_(0.0, 1.0)
    t = begin + t
    gain.masked_fill_((t < 0) | (t >= time), 1.0)
    where = row * time + t.clamp_(0, time - 1)
    gains.view(-1).scatter_reduce_(0, where.flatten(), gain.flatten(), "amin")
    return gains


def sines(
    partials: Sequence[Sequence[tuple[float, float, float]]], time: int, rate: int, device: torch.device
) -> Tensor:
    """Sums of sines: [row, time].

    A sine of a sum is a sum of two products: sines are computed for the first sample of each block, and for
    each sample of one block, and products of matrices make the rest.

    partials: of each row, (Hz, amplitude, phase in cycles) of each of its sines.
    """
    block = 256
    most = max(map(len, partials))
    silent = (0.0, 0.0, 0.0)
    padded = np.array([[*row, *[silent] * (most - len(row))] for row in partials])  # [row, sine, 3]
    hertz, amplitude, phase = np.moveaxis(padded, 2, 0)[..., None]
    starts = 2 * np.pi * (hertz / rate * np.arange(0, time, block) + phase)
    within = 2 * np.pi * hertz / rate * np.arange(block)
    left = amplitude[..., None] * np.stack([np.sin(starts), np.cos(starts)], axis=2)  # [row, sine, 2, block]
    right = np.stack([np.cos(within), np.sin(within)], axis=2)
    first, second = (
        torch.from_numpy(side.astype(np.float32)).to(device).flatten(1, 2) for side in (left, right)
    )
    return (first.transpose(1, 2) @ second).flatten(1)[:, :time].contiguous()


def mu_law(clips: Tensor) -> Tensor:
    """Clips in [-1, 1] after coding in 8 bits and decoding, by the mu-law curve of G.711.

    For each sign the curve has eight segments of sixteen steps, which double from one segment to the next.
    So has a binary number of which the exponent and four bits of the fraction are kept.
    """
    size = (clips.abs() * MU_LAW_SCALE).clamp_(max=MU_LAW_SCALE - 1).add_(MU_LAW_BIAS)
    size.view(torch.int32).bitwise_and_(-1 << 19).bitwise_or_(1 << 18)  # the middle of the step
    return torch.copysign(size.sub_(MU_LAW_BIAS).div_(MU_LAW_SCALE), clips)
