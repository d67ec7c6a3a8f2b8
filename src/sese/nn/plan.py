"""Sites, and plans over them: what runs.

A *site* is a named place in a backbone where compute can be left out, and its *units* are the pieces of
compute. A *plan* says for each site which units are kept. It is an argument of every forward call and is
never stored on a module.
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
"""Units of one site that are kept. An int keeps that many first units everywhere or, in a one-hot site, the
unit of that number, counted from 1. A tensor (batch, frame, unit) of 0/1 (relaxed in training) decides for
each row and frame; axes of size 1 broadcast."""

Plan = Mapping[str, Keep]
"""Name of a site -> the units that are kept. For a network that can rest, a plan may also have a tensor
(batch, frame) under the name `REST`: the gain of the signal in frames at rest, in which nothing is kept."""

REST = "rest"
"""Name of the gain at rest in a plan."""

UNSAID_GAIN = 0.064
"""Gain of frames at rest under a plan that has none: -24 dB."""


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
    """Return the plan that keeps everything; in a one-hot site, the last unit.

    Example:
        >>> full([Site("depth", (0.25, 0.75))])
        {'depth': 2}
    """
    return {site.name: site.units for site in sites}


def alternatives(sites: Sequence[Site]) -> bool:
    """Return whether levels are alternatives, as experts are, rather than each a part of the next."""
    return any(site.kind == "one_hot" and site.units > 1 for site in sites)


def choice_to_mask(choice: Tensor, site: Site) -> Tensor:
    """Turn choices of a level into masks.

    Args:
        choice: (batch, frame, level), one-hot or relaxed; a level is a number of units, or one unit.
        site: site of the mask.

    Returns:
        (batch, frame, unit) mask. In a prefix unit i is kept by every level j >= i, so its value is the sum
        of the choices from i on.

    Example:
        >>> choice_to_mask(torch.tensor([[[0.0, 1.0, 0.0]]]), Site("depth", (0.2, 0.3, 0.5)))
        tensor([[[1., 1., 0.]]])
    """
    return choice if site.kind == "one_hot" else choice.flip(-1).cumsum(-1).flip(-1)


def counts_to_mask(counts: Tensor, units: int) -> Tensor:
    """Turn counts of units into prefix masks.

    Args:
        counts: (batch, frame) integers in 0..units.
        units: number of units of the site.

    Returns:
        (batch, frame, unit) of 0 and 1.

    Example:
        >>> counts_to_mask(torch.tensor([[1, 3]]), 3)
        tensor([[[1., 0., 0.],
                 [1., 1., 1.]]])
    """
    return (torch.arange(units, device=counts.device) < counts.unsqueeze(-1)).float()


def spread(keep: Tensor, sizes: Sequence[int]) -> Tensor:
    """Turn masks of units into masks of the channels, or heads, or groups, that these units stand for.

    Args:
        keep: (batch, frame, unit).
        sizes: number of channels of the first unit, of the first two units, and so on.

    Returns:
        (batch, frame, sizes[-1]).

    Example:
        >>> spread(torch.tensor([[[1.0, 0.0]]]), (1, 3))
        tensor([[[1., 0., 0.]]])
    """
    spans = torch.tensor([b - a for a, b in pairwise((0, *sizes))], device=keep.device)
    return keep.repeat_interleave(spans, dim=2, output_size=sizes[-1])


def kept(adds: Sequence[float], keep: int, site: Site) -> float:
    """Return the sum of the values of the kept units.

    Args:
        adds: value of each unit of the site.
        keep: as in `Keep`.
        site: site of the units.
    """
    return adds[keep - 1] if site.kind == "one_hot" else sum(adds[:keep])


def check(plan: Plan, sites: Sequence[Site], batch: int, frames: int) -> None:
    """Check that a plan matches the sites.

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
    """Return the fraction of the scalable compute that a plan uses.

    Returns:
        (batch, frame) in (0, 1]; both of size 1 for a plan of ints. All sites have the same weight.

    Example:
        >>> utilization({"depth": 1}, [Site("depth", (0.25, 0.75))])
        tensor([[0.2500]])
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
    """Form of a prefix keep that runs without masks: the frames of each number of units.

    Attributes:
        rows: batch * frame.
        groups: (number of units, flat indices into batch * frame, or None for all of them). Where the frames
            of each number follow each other, the indices are slices, in order, which need no gathering.
    """

    rows: int
    groups: tuple[tuple[int, Tensor | slice | None], ...]


def sorting(keep: Tensor) -> Tensor | None:
    """Return an order of the rows in which all rows of one number of units follow each other.

    Args:
        keep: mask (batch, frame, unit) of a prefix site.

    Returns:
        Row numbers (batch,); None where the rows are in such an order, where the number changes within a row,
        and for masks that need a gradient.
    """
    if keep.requires_grad:
        return None
    counts = keep.sum(-1).round()
    first = counts[:, 0]
    if not torch.equal(counts, first.unsqueeze(1).expand_as(counts)):
        return None
    order = first.argsort(stable=True)
    return None if len(first.unique_consecutive()) == len(first.unique()) else order


def resolve(keep: Keep | Slices, batch: int, frames: int, least: int = 1) -> Tensor | Slices:
    """Return a prefix keep in the form in which it runs: masks where it needs a gradient, else slices.

    Both compute the same result to rounding; slices leave the arithmetic out.

    Args:
        keep: kept units.
        batch, frames: number of rows and frames.
        least: lowest number of units that a frame may keep.

    Raises:
        InputError: a mask that keeps no prefix, or fewer units.
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
