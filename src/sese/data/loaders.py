"""Endless training batches that resume where they stopped, fixed validation sets, and banks from folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import IterableDataset

from sese.core.errors import InputError
from sese.data.bank import Bank, load_bank
from sese.data.corpora import Corpus, Problem, Recording, Split, scan
from sese.data.mixing import MixConfig, Mixer, Mixture

Mixes = Callable[[Sequence[int]], Mixture]
"""Makes the examples of these numbers, as a mixer does."""


@dataclass(frozen=True, eq=False)
class Banks:
    """What a mixer needs, where it came from, and the files that could not be used."""

    speech: Bank
    noise: Bank
    rir: Bank | None
    corpus: Corpus
    problems: tuple[Problem, ...]


def build(
    roots: Sequence[Path | str] = (),
    *,
    speech: Sequence[Path | str] = (),
    noise: Sequence[Path | str] = (),
    rir: Sequence[Path | str] = (),
    sample_rate: int = 16000,
    cache_dir: Path | str | None = None,
    split: Split | None = "train",
    use: str = "training",
) -> Banks:
    """Banks from corpus roots (any layout of `scan`) and from folders that hold one role each.

    split: the half to take of folders in the VoiceBank+DEMAND layout, so that its test set never trains.
    use: what the data is for, in errors.
    Where there are pairs of clean and noisy speech but no noise, the noise is what they differ by.
    Raises InputError if there is no speech or no noise.
    """
    corpus = Corpus()
    for root in roots:
        corpus += scan(root, split=split)
    for kind, folders in (("speech", speech), ("noise", noise), ("rir", rir)):
        for folder in folders:
            corpus += scan(folder, role=kind)  # type: ignore[arg-type]
    if corpus.pairs and not corpus.noise:
        corpus += Corpus(noise=noise_of_pairs(corpus.pairs))
    folders = ", ".join(str(f) for f in (*roots, *speech, *noise, *rir))
    given = f"in {folders}" if folders else "and no folder named"
    for kind, found in (("speech", corpus.speech), ("noise", corpus.noise)):
        if not found:
            raise InputError(
                f"{use} data: no {kind} {given}; name a folder of it, or see `sese data describe`"
            )
    voices = load_bank(corpus.speech, sample_rate, cache_dir)
    noises = load_bank(corpus.noise, sample_rate, cache_dir)
    rooms = load_bank(corpus.rir, sample_rate, cache_dir) if corpus.rir else None
    banks = (voices, noises) if rooms is None else (voices, noises, rooms)
    problems = corpus.problems + tuple(problem for bank in banks for problem in bank.problems)
    return Banks(voices, noises, rooms, corpus, problems)


def noise_of_pairs(pairs: Sequence[tuple[Recording, Recording]]) -> tuple[Recording, ...]:
    """The noise in (clean, noisy) pairs, as in VoiceBank+DEMAND: each noisy file minus its clean one."""
    return tuple(replace(noisy, kind="noise", group="pairs", minus=clean.path) for clean, noisy in pairs)


class TrainBatches(IterableDataset):
    """Endless batches of a mixer, in an order that a resumed run continues exactly.

    Process `rank` of `world_size` gets in its step n the examples

        start + (n * world_size + rank) * batch_size + (0 ... batch_size - 1)

    It is its own iterator, for a DataLoader (`batch_size=None`) without workers: mixtures are made on the
    device that trains, so none are needed.
    """

    def __init__(self, mixer: Mixes, batch_size: int, start: int = 0, rank: int = 0, world_size: int = 1):
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
    """A fixed list of batches, `clips` examples in all, with the SNRs spread evenly over their range.

    The last batch may be smaller. Use at least 200 clips: with fewer, the noise of the estimate hides small
    differences. `config.plain()` leaves the augmentation out.
    """
    mixer = Mixer(config, speech, noise, rir, seed)
    snr = stratified(*config.snr_db, clips, seed)
    return [
        mixer(range(first, min(first + batch_size, clips)), snr[first : first + batch_size].tolist())
        for first in range(0, clips, batch_size)
    ]


def stratified(low: float, high: float, count: int, seed: int) -> np.ndarray:
    """`count` values in shuffled order, one in the middle of each of as many equal parts of [low, high]."""
    if count < 1:
        raise InputError(f"clips: got {count}; give 1 or more")
    return low + (high - low) * (np.random.default_rng(seed).permutation(count) + 0.5) / count
