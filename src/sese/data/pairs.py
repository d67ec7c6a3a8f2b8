"""Examples in pairs, for contrastive mixtures: one target under two noises, or two targets under one noise.

Examples 2n and 2n + 1 are pair n. Where n is even the pair is positive: both have the same target, with other
noise at another SNR. Else it is negative: both have the same noise at the same SNR, with other targets. All
else (level, filters, clipping) is the same in both, and each example depends on (seed, index) alone.
"""

from __future__ import annotations

from dataclasses import replace

from sese.data.plans import Plan, Planner

EXAMPLES = 4
"""Of a positive and a negative pair: a batch of a multiple of them has as many of each."""


class PairPlanner(Planner):
    """Draws the plan of example i from (seed, i), and for an odd i from (seed, i - 1) as well."""

    def __call__(self, index: int) -> Plan:
        pair, second = divmod(index, 2)
        first = super().__call__(index - second)
        if not second:
            return first
        other = super().__call__(index)
        if pair % 2 == 0:
            return replace(
                first,
                noise=other.noise,
                snr_db=other.snr_db,
                babble=other.babble,
                colour=other.colour,
                drop_in=other.drop_in,
                no_noise=other.no_noise,
            )
        return replace(first, speech=other.speech, turns=other.turns, rir=other.rir, silent=other.silent)
