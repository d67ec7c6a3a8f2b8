"""Sources of labelled clips: mixtures of a corpus, or a folder of pairs, noisy and at levels of models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.core.untrusted import read_table
from sese.data.bank import Bank
from sese.data.corpora import UNKNOWN, Problem, check_disjoint
from sese.data.corpus_banks import Banks, decode_corpus, find_corpus
from sese.data.labelled_pool import mixtures_hash
from sese.data.mixing import MixConfig, Mixer
from sese.evaluation.metrics import pesq_wb
from sese.evaluation.pairs import SAMPLE_RATE, Pair, read_pair
from sese.evaluation.suite import default_budgets
from sese.quality.config import ClipsConfig
from sese.runtime.artefact import find_model
from sese.runtime.budget import Budget
from sese.runtime.enhancer import Enhancer

_FORMAT = 1  # raise when how clips are made changes
_SPLIT_SEED = 1  # of which speakers and noises are held out: the same for every run
MIXTURE, ENHANCED, LIMITED = range(3)
KEPT = (0.1, 0.7)  # share of the mixture in a limited clip
LABEL = np.dtype([("pesq", "f4"), ("snr_db", "f4"), ("speaker", "i4"), ("noise", "i4"), ("made", "i4")])

Row = tuple[float, float, int, int, int]
Make = Callable[[int], tuple[NDArray[np.int16], Row]]


class Source(Protocol):
    """Makes clip i, which depends on i and on what `key` hashes alone. Other processes get it whole."""

    @property
    def samples(self) -> int:
        """Return the number of samples in a clip."""

    @property
    def speakers(self) -> tuple[str, ...]:
        """Return the names that the labels number."""

    def key(self) -> str:
        """Return a hash of everything that the clips depend on."""

    def open(self) -> Make:
        """Return a function from a number to a clip, int16 [time], and its row of `LABEL`."""


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Clip i is mixture i as it is, or as a level of a model makes it, or a blend of the two."""

    data: ClipsConfig
    mix: MixConfig
    banks: Banks
    seed: int

    @property
    def samples(self) -> int:
        """Return the number of samples in a clip."""
        return self.mix.time

    @property
    def speakers(self) -> tuple[str, ...]:
        """Return the names of the bank's speakers."""
        return self.banks.speech.group_names

    def mixer(self) -> Mixer:
        """Return the mixer that makes the mixtures."""
        return Mixer(self.mix, self.banks.speech, self.banks.noise, self.banks.rir, self.seed)

    def key(self) -> str:
        """Return a hash of the mixtures, the chances and the models."""
        data = self.data
        digest = hashlib.sha256(
            f"{_FORMAT} {mixtures_hash(self.mixer())} {data.enhanced} {data.limited}".encode()
        )
        for model in data.models:
            digest.update(find_model(model).read_bytes())
        return digest.hexdigest()[:16]

    def open(self) -> Make:
        """Open the models."""
        mixer, levels, rate = self.mixer(), levels_of(self.data.models), self.mix.sample_rate

        def make(index: int) -> tuple[NDArray[np.int16], Row]:
            mixture, spec = mixer([index]), mixer.sampler(index)
            noisy, clean = mixture.noisy[0, 0].numpy(), mixture.clean[0, 0].numpy()
            kind, which, share = np.random.default_rng([self.seed, index]).random(3)
            made, audio = MIXTURE, noisy
            if kind < self.data.enhanced + self.data.limited:
                model, budget = levels[int(which * len(levels))]
                audio, made = model.enhance(noisy, rate, budget=budget), ENHANCED
                if kind >= self.data.enhanced:
                    kept = KEPT[0] + share * (KEPT[1] - KEPT[0])
                    audio, made = kept * noisy + (1 - kept) * audio, LIMITED
            samples, score = scored(clean, audio, rate)
            speaker = int(self.banks.speech.groups[spec.speech[0][0]])
            return samples, (score, float(mixture.snr_db[0]), speaker, spec.noise[0][0], made)

        return make


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of a folder as its noisy side, and as each level of each model makes it.

    Clip i is version i % `versions` of pair i // `versions`, its beginning where it is too long, repeated
    where it is too short.
    """

    pairs: tuple[Pair, ...]
    samples: int
    models: tuple[str, ...]
    speaker_of: dict[str, str]

    @property
    def versions(self) -> int:
        """Return the number of clips that are made from a pair."""
        return 1 + len(levels_of(self.models))

    @property
    def speakers(self) -> tuple[str, ...]:
        """Return the speakers by the manifest; without one each pair is a speaker of its own."""
        return tuple(sorted({self.speaker_of.get(pair.name, pair.name) for pair in self.pairs}))

    def key(self) -> str:
        """Return a hash of the files and the models."""
        digest = hashlib.sha256(f"{_FORMAT} pairs {self.samples}".encode())
        for path in (path for pair in self.pairs for path in (pair.clean, pair.noisy) if path):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        for model in self.models:
            digest.update(find_model(model).read_bytes())
        return digest.hexdigest()[:16]

    def open(self) -> Make:
        """Open the models."""
        levels, speakers = levels_of(self.models), self.speakers

        def make(index: int) -> tuple[NDArray[np.int16], Row]:
            number, version = divmod(index, 1 + len(levels))
            pair = self.pairs[number]
            clean, noisy = (np.resize(side, self.samples) for side in read_pair(pair))
            audio = noisy
            if version:
                model, budget = levels[version - 1]
                audio = model.enhance(noisy, SAMPLE_RATE, budget=budget)
            samples, score = scored(clean, audio, SAMPLE_RATE)
            speaker = speakers.index(self.speaker_of.get(pair.name, pair.name))
            snr = np.nan if pair.snr_db is None else pair.snr_db
            return samples, (score, snr, speaker, -1, ENHANCED if version else MIXTURE)

        return make


def levels_of(models: tuple[str, ...]) -> list[tuple[Enhancer, Budget]]:
    """Return for each level of each model an enhancer, and the budget that always runs that level."""
    return [
        (model, budget)
        for model in map(Enhancer, models)
        for budget in default_budgets(model.card)
        if budget != "auto"
    ]


def speakers_of(manifest: Path) -> dict[str, str]:
    """Return the column `speaker` of a manifest by its column `file`; empty where there is none."""
    if not manifest.is_file():
        return {}
    columns, rows = read_table(manifest)
    return {row["file"]: row["speaker"] for _, row in rows} if {"file", "speaker"} <= set(columns) else {}


def split_banks(
    data: ClipsConfig, sample_rate: int, report: Callable[[str], None] = print
) -> tuple[Banks, Banks]:
    """Return banks for training and for validation; no speaker and no noise recording is in both.

    Where the configuration names no validation corpora, `held_out` of the speakers of the training corpora
    (never those without a name) and of their noise recordings are split off. Rooms are shared then.

    Raises:
        InputError: no speech, no noise, or nothing left on one side.
    """
    cache = data.cache_dir or None
    found = find_corpus(data.train)
    held_out = find_corpus(data.validation, split=None, use="validation") if data.validation else None
    if held_out is not None:
        check_disjoint(found, held_out)
    train = decode_corpus(found, sample_rate, cache)
    _tell(train.problems, report)
    if held_out is not None:
        validation = decode_corpus(held_out, sample_rate, cache)
        _tell(validation.problems, report)
        return train, validation
    rng = np.random.default_rng(_SPLIT_SEED)
    names = np.array(train.speech.group_names)
    drawn = rng.random(len(names)) < data.held_out
    speech_out = (drawn & (names != UNKNOWN))[train.speech.groups]
    noise_out = rng.random(len(train.noise)) < data.held_out
    for kind, out in (("speakers", speech_out), ("noise recordings", noise_out)):
        if out.all() or not out.any():
            raise InputError(
                f"data.held_out is {data.held_out}, which leaves no {kind} on one side; name data.validation"
            )
    kept, held = (
        replace(
            train, speech=_part(train.speech, speech_out == side), noise=_part(train.noise, noise_out == side)
        )
        for side in (False, True)
    )
    return kept, held


def _tell(problems: tuple[Problem, ...], report: Callable[[str], None]) -> None:
    for problem in problems:
        report(f"skipped {problem.path}: {problem.reason}")


def _part(bank: Bank, kept: NDArray[np.bool_]) -> Bank:
    """Return some recordings of a bank, over the same samples."""
    where = np.flatnonzero(kept)
    paths = tuple(bank.paths[i] for i in where)
    return replace(
        bank, starts=bank.starts[where], lengths=bank.lengths[where], groups=bank.groups[where], paths=paths
    )


def scored(
    clean: NDArray[np.float32], audio: NDArray[np.float32], rate: int
) -> tuple[NDArray[np.int16], float]:
    """Return a clip as it is kept, and the PESQ of exactly that."""
    samples = np.round(np.clip(audio, -1, 32767 / 32768) * 32768).astype(np.int16)
    return samples, pesq_wb(clean, samples.astype(np.float32) / 32768, rate)
