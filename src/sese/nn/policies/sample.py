"""Levels drawn for training a slimmable backbone; used in training only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def deal(rows: int, shares: Sequence[float], generator: torch.Generator) -> Tensor:
    """Deal the rows of a batch out to levels, as near to the shares as whole rows allow.

    Rows of a level lie together, which saves gathering them; the examples in them are random anyway.

    Args:
        rows: rows in the batch.
        shares: for each level the share of the rows; sums to 1.
        generator: makes the shares right on average where the rows do not divide evenly.

    Returns:
        (rows,) level of each row, growing.
    """
    bounds = torch.cumsum(torch.tensor(shares, dtype=torch.float64), 0)
    places = (torch.arange(rows, dtype=torch.float64) + torch.rand((), generator=generator).double()) / rows
    return torch.searchsorted(bounds, places, right=True).clamp_max(len(shares) - 1)


def hand_over(levels: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Let each row go on at the level of another row, or its own, from a drawn frame on.

    Args:
        levels: (row, 1).
        frames: in a row, 2 or more.
        generator: draws the frame and the order.

    Returns:
        (row, frame) levels.
    """
    frame = int(torch.randint(1, frames, (), generator=generator))
    others = levels[torch.randperm(len(levels), generator=generator).to(levels.device)]
    return torch.cat([levels.expand(-1, frame), others.expand(-1, frames - frame)], dim=1)


def rest(levels: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Let all rows rest, level -1, over one stretch of at most half of their frames.

    Args:
        levels: (row, frame), or (row, 1) for the same in all frames.
        frames: in a row, 4 or more.
        generator: draws where the stretch lies.

    Returns:
        (row, frame) levels.
    """
    length = int(torch.randint(1, frames // 2 + 1, (), generator=generator))
    begin = int(torch.randint(1, frames - length, (), generator=generator))
    levels = levels.expand(-1, frames).clone()
    levels[:, begin : begin + length] = -1
    return levels


def sandwich(levels: int, generator: torch.Generator) -> list[int]:
    """The sandwich rule (Yu and Huang, arXiv 1903.05134): the widest, the narrowest, and one between them."""
    between = torch.randint(1, levels - 1, (), generator=generator).item() if levels > 2 else 0
    return sorted({levels - 1, int(between), 0}, reverse=True)
