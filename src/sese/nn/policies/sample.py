"""Random levels for the training of a slimmable backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def random_levels(rows: int, shares: Sequence[float], generator: torch.Generator) -> Tensor:
    """Sample a level for each row of a batch, as close to the shares as whole rows allow.

    Rows of a level lie together, so that they need not be gathered; the examples in them are random anyway.

    Args:
        rows: number of rows.
        shares: for each level the share of the rows; sums to 1.
        generator: decides where the rows do not divide evenly, so that the shares are right on average.

    Returns:
        (row,) level of each row, growing.

    Example:
        >>> random_levels(4, (0.5, 0.5), torch.Generator()).tolist()
        [0, 0, 1, 1]
    """
    bounds = torch.cumsum(torch.tensor(shares, dtype=torch.float64), 0)
    places = (torch.arange(rows, dtype=torch.float64) + torch.rand((), generator=generator).double()) / rows
    return torch.searchsorted(bounds, places, right=True).clamp_max(len(shares) - 1)


def switch_levels(levels: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Switch each row, at a random frame, to the level of another row, or to its own.

    Args:
        levels: (row, 1).
        frames: number of frames in a row, 2 or more.
        generator: chooses the frame and the order.

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
        frames: number of frames in a row, 4 or more.
        generator: chooses the stretch.

    Returns:
        (row, frame) levels.
    """
    length = int(torch.randint(1, frames // 2 + 1, (), generator=generator))
    begin = int(torch.randint(1, frames - length, (), generator=generator))
    levels = levels.expand(-1, frames).clone()
    levels[:, begin : begin + length] = -1
    return levels


def sandwich(levels: int, generator: torch.Generator) -> list[int]:
    """Return the highest level, the lowest, and a random one between: the sandwich rule.

    See Yu and Huang, arXiv 1903.05134.

    Args:
        levels: number of levels.
        generator: chooses the level between.

    Returns:
        Levels, highest first.

    Example:
        >>> sandwich(2, torch.Generator())
        [1, 0]
    """
    between = torch.randint(1, levels - 1, (), generator=generator).item() if levels > 2 else 0
    return sorted({levels - 1, int(between), 0}, reverse=True)
