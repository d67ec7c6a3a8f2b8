"""Pairs of examples for contrastive training.

Examples 2n and 2n + 1 are pair n. If n is even, the pair is positive: both examples have the same target,
with different noise at different SNRs. If n is odd, the pair is negative: both have the same noise at the
same SNR, with different targets. Everything else (level, filters, clipping) is equal in the two examples.
Each example depends only on the seed and its index.
"""

from __future__ import annotations

from dataclasses import replace

from sese.data.mixture_sampler import MixtureSampler
from sese.data.mixture_spec import MixtureSpec

EXAMPLES_PER_CYCLE = 4
"""Number of examples in a positive and a negative pair.

A batch size that is a multiple of it has equally many pairs of both kinds.
"""


class ContrastivePairSampler(MixtureSampler):
    """Sample the specification of an example, so that each two neighbours are a pair."""

    def __call__(self, index: int) -> MixtureSpec:
        """Return the specification of example `index`."""
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
