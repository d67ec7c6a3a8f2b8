"""What runs: sites, and plans over them.

A *site* is a named place in a backbone where compute can be left out; its *units* are what can be left
out. A *plan* says for each site which units are kept. How much runs is an argument of every forward call
and is never stored on a module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from sese.core.errors import InputError

Keep = int | Tensor
"""How one site is kept: an int keeps that many first units everywhere, or, where exactly one is kept, the
one of that number, counted from 1; a tensor (batch, frame, unit) of 0/1 (relaxed values in training) decides
for each row and frame. Rows or frames of size 1 broadcast."""

Plan = Mapping[str, Keep]
"""For each site name, what is kept. A network that can rest, where nothing is kept, takes a tensor (batch,
frame) under the name `REST` too: the gain at which the signal passes in frames of rest."""

REST = "rest"


@dataclass(frozen=True)
class Site:
    """A place where compute can be left out.

    Args:
        name: name of the site, unique in its backbone.
        shares: for each unit, the fraction of the site's scalable compute that it adds; sums to 1.
        kind: the masks that are legal: ``prefix`` (the first k units, k >= 1), ``any`` (any subset, so
            counts as well), ``one_hot`` (exactly one).
    """

    name: str
    shares: tuple[float, ...]
    kind: Literal["prefix", "any", "one_hot"] = "prefix"

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.shares)


def full(sites: Sequence[Site]) -> dict[str, Keep]:
    """The plan that keeps everything; of units of which one is kept, the last."""
    return {site.name: site.units for site in sites}


def alternatives(sites: Sequence[Site]) -> bool:
    """Whether levels lie side by side, as experts do, rather than each within the next."""
    return any(site.kind == "one_hot" and site.units > 1 for site in sites)


def choice_to_mask(choice: Tensor, site: Site) -> Tensor:
    """Masks from choices of a level.

    Args:
        choice: (batch, frame, level), one-hot (or relaxed) choice of how many units to keep, or of which one.
        site: that the mask is for.

    Returns:
        (batch, frame, unit) mask. In a prefix unit i is kept by every level j >= i, so its value is the sum
        of the choices from i on.
    """
    return choice if site.kind == "one_hot" else choice.flip(-1).cumsum(-1).flip(-1)


def counts_to_mask(counts: Tensor, units: int) -> Tensor:
    """Prefix masks from unit counts: (batch, frame) integers in 1..units -> (batch, frame, unit) of 0/1."""
    return (torch.arange(units, device=counts.device) < counts.unsqueeze(-1)).float()


def spread(keep: Tensor, sizes: Sequence[int]) -> Tensor:
    """Masks of a site's units -> masks of what they stand for: (batch, frame, unit) -> (.., sizes[-1]).

    Args:
        keep: the masks.
        sizes: how much the first unit stands for, the first two, and so on.
    """
    spans = torch.tensor([b - a for a, b in pairwise((0, *sizes))], device=keep.device)
    return keep.repeat_interleave(spans, dim=2, output_size=sizes[-1])


def kept(adds: Sequence[float], keep: int, site: Site) -> float:
    """What an int keeps of values of a site's units."""
    return adds[keep - 1] if site.kind == "one_hot" else sum(adds[:keep])


def check(plan: Plan, sites: Sequence[Site], batch: int, frames: int) -> None:
    """Refuse a plan that does not fit the sites.

    Raises:
        InputError: a site is missing or unknown, a count is out of range, a mask has a wrong shape.
    """
    names = [site.name for site in sites]
    if set(plan) - {REST} != set(names):
        raise InputError(f"the plan names the sites {sorted(plan)}, the backbone has {sorted(names)}")
    for site in sites:
        keep = plan[site.name]
        if isinstance(keep, int):
            if not 1 <= keep <= site.units:  # a prefix is a subset
                raise InputError(
                    f"site '{site.name}' ({site.kind}) cannot keep {keep} units; it has 1 to {site.units}"
                )
        elif keep.ndim != 3 or keep.shape[0] not in (1, batch) or keep.shape[1] not in (1, frames):
            raise InputError(
                f"the mask of site '{site.name}' has shape {tuple(keep.shape)}; expected "
                f"(batch={batch} or 1, frame={frames} or 1, unit={site.units})"
            )
        elif keep.shape[2] != site.units:
            raise InputError(f"the mask of site '{site.name}' has {keep.shape[2]} units, not {site.units}")


def utilization(plan: Plan, sites: Sequence[Site]) -> Tensor:
    """Fraction of the scalable compute that the plan uses.

    Returns:
        (batch, frame) in (0, 1]; both of size 1 for a plan of ints. Sites weigh the same.
    """
    used = []
    for site in sites:
        keep = plan[site.name]
        if isinstance(keep, int):
            used.append(torch.tensor([[kept(site.shares, keep, site)]]))
        else:
            used.append((keep * keep.new_tensor(site.shares)).sum(-1))
    return torch.stack(torch.broadcast_tensors(*used)).mean(0) if len(used) > 1 else used[0]


@dataclass(frozen=True)
class Slices:
    """A prefix keep made ready to run without masks: for each unit count, the (row, frame) pairs it serves.

    Attributes:
        rows: batch * frame.
        groups: (count, flat indices into batch * frame, or None where the count serves all of them). Where
            each count serves a run of them, the indices are slices, in order, which need no gathering.
    """

    rows: int
    groups: tuple[tuple[int, Tensor | slice | None], ...]


def resolve(keep: Keep | Slices, batch: int, frames: int, least: int = 1) -> Tensor | Slices:
    """Choose how a prefix site is run: by masks where a gradient has to reach the choice, else by slices.

    Both give the same result to rounding; slices leave the arithmetic out. No frame may keep fewer units than
    `least`.
    """
    if isinstance(keep, Slices):
        return keep
    if isinstance(keep, int):
        return Slices(batch * frames, ((keep, None),))
    keep = keep.expand(batch, frames, -1)
    if keep.requires_grad:
        return keep
    counts = keep.sum(-1).round().long().flatten()
    prefix = torch.equal(keep.flatten(0, 1), counts_to_mask(counts, keep.shape[-1]))
    if not prefix or int(counts.min()) < least:
        raise InputError(f"the plan's mask keeps units that are no prefix; keep the first k, k >= {least}")
    runs, sizes = counts.unique_consecutive(return_counts=True)
    present = counts.unique().tolist()
    if len(present) == 1:
        return Slices(len(counts), ((present[0], None),))
    if len(runs) == len(present):
        stops = sizes.cumsum(0).tolist()
        spans = zip(runs.tolist(), [0, *stops], stops, strict=False)
        return Slices(len(counts), tuple((count, slice(start, stop)) for count, start, stop in spans))
    return Slices(len(counts), tuple((count, (counts == count).nonzero().squeeze(1)) for count in present))
