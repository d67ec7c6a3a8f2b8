"""Recordings drawn by the weight of their groups and their lengths."""

from __future__ import annotations

import numpy as np

from sese.data.bank import Bank


class Urn:
    """Draws recordings of a bank: a group by its total length to a power, then one in it likewise.

    A power of 1 is proportional to the length, 0 treats all alike; 0.5 keeps the long from ruling.
    """

    def __init__(self, bank: Bank, group_power: float, recording_power: float):
        self.order = np.argsort(bank.groups, kind="stable")
        group = bank.groups[self.order]
        weight = bank.lengths[self.order].astype(np.float64) ** recording_power
        total = np.bincount(bank.groups, weights=bank.lengths)
        weight *= total[group] ** group_power / np.bincount(group, weights=weight)[group]
        self.edges = np.concatenate([[0.0], np.cumsum(weight)])
        self.ends = np.searchsorted(group, np.arange(len(bank.group_names) + 1))
        self.span = self.edges[self.ends]  # the stretch of each group on the line of weights
        self.group_of = bank.groups

    def draw(self, uniform: float) -> int:
        return self._at(uniform * self.edges[-1])

    def draw_alike(self, recording: int, uniform: float) -> int:
        """Another (or the same) recording of the same group."""
        low, high = self.span[self.group_of[recording] : self.group_of[recording] + 2]
        return self._at(low + uniform * (high - low))

    def draw_other(self, recording: int, uniform: float) -> int:
        """A recording of another group; any recording where all are of one group."""
        first, last = self.ends[self.group_of[recording] : self.group_of[recording] + 2]
        below, above, end = self.edges[first], self.edges[last], len(self.order)
        if last - first == end:
            return self.draw(uniform)
        position = uniform * (below + self.edges[-1] - above)
        if first > 0 and (position < below or last == end):
            return self._at(position, 0, first)
        return self._at(above + position - below, last, end)

    def _at(self, position: float, first: int = 0, end: int | None = None) -> int:
        """What lies at a position on the line of weights; rounding does not lead out of [first, end)."""
        place = int(np.searchsorted(self.edges, position, side="right")) - 1
        return int(self.order[min(max(place, first), (len(self.order) if end is None else end) - 1)])
