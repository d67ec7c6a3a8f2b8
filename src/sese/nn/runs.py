"""Run a network whose rows and frames keep different units, piece by piece, so that only kept units run.

This is for networks in which a frame's kept units change the state, so that frames must run in order. A clip
is cut where the plan changes, and the rows of a piece are grouped by the units that they keep.
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
"""(frames (batch, frame, ...), number of kept units, state) -> (output (batch, frame, ...), next state)."""

Masked = Callable[[Tensor, Tensor, State], tuple[Tensor, dict[str, Tensor]]]
"""As `Run`, with a mask (batch, frame, unit) in place of the number of kept units."""


def masked_or_sliced(
    masked: Masked, sliced: Run, x: Tensor, keep: Keep, state: State, rests: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames (batch, frame, ...) under masks where the plan needs gradients, else by `runs`.

    Args:
        masked: runs every unit under masks.
        sliced: runs kept units only.
        x, keep, state, rests: as for `runs`.
    """
    if isinstance(keep, Tensor) and keep.requires_grad:
        return masked(x, keep.expand(*x.shape[:2], -1), state)
    return runs(sliced, x, keep, state, rests)


def runs(
    run: Run, x: Tensor, keep: Keep, state: State, rests: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames (batch, frame, ...) under a prefix keep without gradient.

    Args:
        run: runs kept units; with `rests` it may get 0 units, for frames at rest.
        x: (batch, frame, ...).
        keep: kept units.
        state: state before the first frame.
        rests: whether frames may keep nothing.

    Raises:
        InputError: a mask that keeps no prefix.
    """
    if isinstance(keep, int):
        return run(x, keep, state)
    batch, frames = x.shape[:2]
    resolve(keep, batch, frames, least=0 if rests else 1)  # raises for a mask that is no prefix
    return _pieces(run, x, keep.expand(batch, frames, -1).sum(-1).round().long(), state)


def _pieces(run: Run, x: Tensor, counts: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames under (batch, frame) counts of units, or numbers of one unit."""
    frames = x.shape[1]
    changes = (counts[:, 1:] != counts[:, :-1]).any(0).nonzero().flatten() + 1
    cuts = [0, *changes.tolist(), frames]
    made = []
    for begin, end in pairwise(cuts):
        part, state = _rows(run, x[:, begin:end], counts[:, begin], state)
        made.append(part)
    return (torch.cat(made, dim=1) if len(made) > 1 else made[0]), dict(state)


def _rows(run: Run, x: Tensor, counts: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
    """Run frames in which each row keeps the same units throughout: counts (batch,)."""
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
    """Run frames (batch, frame, ...) by one unit each, or mix all units where the plan needs gradients.

    Args:
        mixed: runs every unit and mixes their outputs.
        picked: runs one unit; its second argument is the unit's number, counted from 1.
        x: (batch, frame, ...).
        keep: which unit.
        state: state of all units before the first frame.

    Raises:
        InputError: a mask without gradient that does not pick exactly one unit.
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
    """Return whether every frame of (batch, frame, unit) is 1 in one unit and 0 in the others.

    Example:
        >>> one_hot(torch.tensor([[[0.0, 1.0], [1.0, 1.0]]]))
        False
    """
    return bool((((shares == 1).sum(-1) == 1) & ((shares != 0).sum(-1) == 1)).all())
