"""Plans from given levels: one level everywhere, as in a static model, or one for each row and frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from sese.nn.plan import Keep, Plan, Site, counts_to_mask, full

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhancer


def level_plan(sites: Sequence[Site], level: int) -> dict[str, Keep]:
    """Return the plan of one level.

    It keeps the first `level + 1` units of every site, or in a one-hot site the unit of that number.

    Args:
        sites: sites of a backbone.
        level: from 0, the lowest.

    Example:
        >>> level_plan([Site("depth", (0.25, 0.75))], 0)
        {'depth': 1}
    """
    return {site.name: min(level + 1, site.units) for site in sites}


def levels_plan(sites: Sequence[Site], levels: Tensor) -> dict[str, Keep]:
    """Return the plan of a level for each row and frame.

    Args:
        sites: sites of a backbone.
        levels: (batch, frame) integers, 0 the lowest; axes of size 1 broadcast.
    """
    return {
        site.name: F.one_hot(levels, site.units).float()
        if site.kind == "one_hot"
        else counts_to_mask((levels + 1).clamp_max(site.units), site.units)
        for site in sites
    }


def level_plans(model: Enhancer) -> list[Plan]:
    """Return the plan of each level, lowest first; a model with gates has one level, everything."""
    if model.gated:
        return [full(model.sites)]
    return [level_plan(model.sites, level) for level in range(max(site.units for site in model.sites))]
