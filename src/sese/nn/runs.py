"""Run a network whose rows and frames keep different amounts, piece by piece, so that nothing runs in vain.

For networks that are recurrent throughout: what a frame keeps decides what its state becomes, so frames
cannot be gathered out of order. A clip is cut where the plan changes, and the rows of a piece are grouped by
what they keep.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.nn.plan import Keep, resolve
from sese.nn.state import State

Run = Callable[[Tensor, int, State], tuple[Tensor, dict[str, Tensor]]]
"""(frames (batch, frame, ...), units kept, state) -> (made (batch, frame, ...), next state)."""

Masked = Callable[[Tensor, Tensor, State], tuple[Tensor, dict[str, Tensor]]]
"""The same under a mask (batch, frame, unit)."""


def masked_or_sliced(
    masked: Masked, sliced: Run, x: Tensor, keep: Keep, state: State, rests: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames (batch, frame, ...) under masks where the plan needs gradients, else as `runs` does."""
    if isinstance(keep, Tensor) and keep.requires_grad:
        return masked(x, keep.expand(*x.shape[:2], -1), state)
    return runs(sliced, x, keep, state, rests)


def runs(
    run: Run, x: Tensor, keep: Keep, state: State, rests: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames (batch, frame, ...) under a prefix keep without gradient.

    Args:
        run: takes 0 for frames in which the network rests, where `rests`.
        x: (batch, frame, ...).
        keep: what is kept.
        state: before the first frame.
        rests: whether frames may keep nothing.

    Raises:
        InputError: a mask that keeps no prefix.
    """
    if isinstance(keep, int):
        return run(x, keep, state)
    batch, frames = x.shape[:2]
    resolve(keep, batch, frames, least=0 if rests else 1)  # refuses what is no prefix
    return _pieces(run, x, keep.expand(batch, frames, -1).sum(-1).round().long(), state)


def _pieces(run: Run, x: Tensor, counts: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames under counts, or numbers, (batch, frame)."""
    frames = x.shape[1]
    changes = (counts[:, 1:] != counts[:, :-1]).any(0).nonzero().flatten() + 1
    cuts = [0, *changes.tolist(), frames]
    made = []
    for begin, end in pairwise(cuts):
        part, state = _rows(run, x[:, begin:end], counts[:, begin], state)
        made.append(part)
    return (torch.cat(made, dim=1) if len(made) > 1 else made[0]), dict(state)


def _rows(run: Run, x: Tensor, counts: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames of which each row keeps the same throughout: counts (batch,)."""
    present = counts.unique().tolist()
    if len(present) == 1:
        return run(x, present[0], state)
    rows = [(counts == count).nonzero().flatten() for count in present]
    results = [
        run(x[index], count, {name: value[index] for name, value in state.items()})
        for count, index in zip(present, rows, strict=True)
    ]
    back = torch.cat(rows).argsort()
    after = {name: torch.cat([made[name] for _, made in results])[back] for name in state}
    return torch.cat([made for made, _ in results])[back], after


def mixed_or_picked(
    mixed: Masked, picked: Run, x: Tensor, keep: Keep, state: State
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames (batch, frame, ...) by one unit each, or mix what units make where the plan needs gradients.

    Args:
        mixed: every unit runs.
        picked: takes a unit's number, counted from 1, where `Run` has a count.
        x: (batch, frame, ...).
        keep: which unit.
        state: of all units.

    Raises:
        InputError: a mask without gradient that picks no one unit.
    """
    if isinstance(keep, int):
        return picked(x, keep, state)
    shares = keep.expand(*x.shape[:2], -1)
    if keep.requires_grad:
        return mixed(x, shares, state)
    if not one_hot(shares):
        raise InputError("the plan's mask picks no one unit; set one to 1 and the others to 0")
    return _pieces(picked, x, shares.argmax(-1) + 1, state)


def one_hot(shares: Tensor) -> bool:
    """Whether each of (batch, frame, unit) is exactly 1 in one unit and 0 in the others."""
    return bool((((shares == 1).sum(-1) == 1) & ((shares != 0).sum(-1) == 1)).all())
