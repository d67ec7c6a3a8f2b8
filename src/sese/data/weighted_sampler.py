"""Random choice of recordings, weighted by the length of the recordings and of their groups."""

from __future__ import annotations

import numpy as np

from sese.data.bank import Bank


class WeightedSampler:
    """Choose recordings of a bank at random.

    A group (speaker or noise category) has the probability of its total length raised to `group_power`.
    Within a group, a recording has the probability of its length raised to `recording_power`. A power of 1 is
    proportional to length; 0 gives every item the same probability; 0.5 lies between.

    The recordings lie on a line, group after group, and each covers an interval as long as its weight. A
    uniform random number is a position on that line.

    Args:
        bank: Recordings to choose from.
        group_power: Exponent of the total length of a group.
        recording_power: Exponent of the length of a recording.

    Attributes:
        edges: Ends of the intervals on the line, float64 [recordings + 1].
        group_edges: Ends of the intervals of the groups, float64 [groups + 1].
    """

    def __init__(self, bank: Bank, group_power: float, recording_power: float):
        self.order = np.argsort(bank.groups, kind="stable")
        group = bank.groups[self.order]
        weight = bank.lengths[self.order].astype(np.float64) ** recording_power
        total = np.bincount(bank.groups, weights=bank.lengths)
        weight *= total[group] ** group_power / np.bincount(group, weights=weight)[group]
        self.edges = np.concatenate([[0.0], np.cumsum(weight)])
        self.group_ends = np.searchsorted(group, np.arange(len(bank.group_names) + 1))
        self.group_edges = self.edges[self.group_ends]
        self.group_of = bank.groups

    def sample(self, uniform: float) -> int:
        """Return a recording of any group, for a uniform random number in [0, 1)."""
        return self._at(uniform * self.edges[-1])

    def sample_same_group(self, recording: int, uniform: float) -> int:
        """Return a recording of the same group as `recording`, which may be `recording` itself."""
        low, high = self.group_edges[self.group_of[recording] : self.group_of[recording] + 2]
        return self._at(low + uniform * (high - low))

    def sample_other_group(self, recording: int, uniform: float) -> int:
        """Return a recording of another group than `recording`; of any group if the bank has only one."""
        first, last = self.group_ends[self.group_of[recording] : self.group_of[recording] + 2]
        below, above, end = self.edges[first], self.edges[last], len(self.order)
        if last - first == end:
            return self.sample(uniform)
        position = uniform * (below + self.edges[-1] - above)
        if first > 0 and (position < below or last == end):
            return self._at(position, 0, first)
        return self._at(above + position - below, last, end)

    def _at(self, position: float, first: int = 0, end: int | None = None) -> int:
        """Return the recording at a position on the line.

        The index along the line is limited to [first, end), because rounding could lead out of it.
        """
        index = int(np.searchsorted(self.edges, position, side="right")) - 1
        return int(self.order[min(max(index, first), (len(self.order) if end is None else end) - 1)])
