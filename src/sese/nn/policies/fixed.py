"""Plans from given levels: the same one everywhere, as every static model has it, or one a row and frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from sese.nn.plan import Keep, Plan, Site, counts_to_mask, full

if TYPE_CHECKING:
    from sese.nn.enhancer import Enhancer


def level_plan(sites: Sequence[Site], level: int) -> dict[str, Keep]:
    """Keep the first `level + 1` units of every site, or the one of that number; level 0 is the cheapest."""
    return {site.name: min(level + 1, site.units) for site in sites}


def levels_plan(sites: Sequence[Site], levels: Tensor) -> dict[str, Keep]:
    """A level for each row and frame: (batch, frame) integers, 0 the cheapest; axes of size 1 broadcast."""
    return {
        site.name: F.one_hot(levels, site.units).float()
        if site.kind == "one_hot"
        else counts_to_mask((levels + 1).clamp_max(site.units), site.units)
        for site in sites
    }


def level_plans(model: Enhancer) -> list[Plan]:
    """The plan of each level that can be asked for, cheapest first; besides gates there is only the whole."""
    if model.gated:
        return [full(model.sites)]
    return [level_plan(model.sites, level) for level in range(max(site.units for site in model.sites))]
