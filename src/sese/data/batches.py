"""Endless training batches that resume where they stopped, and fixed validation sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import IterableDataset

from sese.core.errors import InputError
from sese.data.bank import Bank
from sese.data.mix_config import MixConfig
from sese.data.mixing import Mixer, Mixture

ComputeMixtures = Callable[[Sequence[int]], Mixture]
"""Computes mixtures from the indices of examples, as a `Mixer` does."""


class TrainBatches(IterableDataset):
    """Iterate over endless batches, in an order that a resumed run continues exactly.

    Step n of process `rank` out of `world_size` processes gets the examples

        start + (n * world_size + rank) * batch_size + (0 ... batch_size - 1)

    Use it with a DataLoader (`batch_size=None`) without workers: mixtures are computed on the device that
    trains. The dataset is its own iterator.

    Args:
        mixer: Computes mixtures from the indices of examples.
        batch_size: Examples in a batch.
        start: Index of the first example.
        rank: Number of this process, from 0.
        world_size: Number of processes.

    Raises:
        InputError: An argument is out of range.
    """

    def __init__(
        self, mixer: ComputeMixtures, batch_size: int, start: int = 0, rank: int = 0, world_size: int = 1
    ):
        if batch_size < 1 or start < 0 or not 0 <= rank < world_size:
            raise InputError(
                f"batches: got batch_size {batch_size}, start {start}, rank {rank} of {world_size}; "
                "give a batch of 1 or more, a start from 0 and a rank below the world size"
            )
        self.mixer, self.batch_size, self.rank, self.world_size = mixer, batch_size, rank, world_size
        self.next_example = start

    def __iter__(self) -> Iterator[Mixture]:
        return self

    def __next__(self) -> Mixture:
        first = self.next_example + self.rank * self.batch_size
        self.next_example += self.batch_size * self.world_size
        return self.mixer(range(first, first + self.batch_size))


def validation_set(
    config: MixConfig,
    speech: Bank,
    noise: Bank,
    rir: Bank | None = None,
    clips: int = 240,
    seed: int = 0,
    batch_size: int = 16,
) -> list[Mixture]:
    """Compute a fixed list of batches whose SNRs are spread evenly over their range.

    Args:
        config: How mixtures are computed. `config.without_augmentation()` turns the augmentation off.
        speech, noise, rir: Banks.
        clips: Number of examples. Fewer than 200 make the mean too uncertain to show small differences.
        seed: Seed of the mixtures and of the order of the SNRs.
        batch_size: Examples in a batch; the last batch may be smaller.
    """
    mixer = Mixer(config, speech, noise, rir, seed)
    snr = stratified(*config.snr_db, clips, seed)
    return [
        mixer(range(first, min(first + batch_size, clips)), snr[first : first + batch_size].tolist())
        for first in range(0, clips, batch_size)
    ]


def stratified(low: float, high: float, count: int, seed: int) -> np.ndarray:
    """Return values that are spread evenly over a range, in random order.

    Args:
        low, high: Range.
        count: Number of values. Each is the middle of one of `count` equal parts of the range.
        seed: Seed of the order.

    Returns:
        Values, float64 [count].

    Raises:
        InputError: `count` is below 1.
    """
    if count < 1:
        raise InputError(f"clips: got {count}; give 1 or more")
    return low + (high - low) * (np.random.default_rng(seed).permutation(count) + 0.5) / count
