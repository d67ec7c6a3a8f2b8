"""The policy of every static model: the same level everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from sese.nn.plan import Keep, Site


def level_plan(sites: Sequence[Site], level: int) -> dict[str, Keep]:
    """Keep the first `level + 1` units of every prefix site; level 0 is the cheapest."""
    return {site.name: min(level + 1, site.units) for site in sites}
