"""Noisy clips of known speakers, two of each, made by their number.

Speakers and noises that a training leaves out, to choose by, are drawn by the seed. Speech whose speaker
nothing tells is left out altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sese.core.checks import inner_shares
from sese.core.errors import InputError
from sese.data.bank import Bank, load_bank
from sese.data.corpora import UNKNOWN, Corpus, scan
from sese.data.corpus_banks import Banks, load_banks
from sese.data.mix_config import MixConfig
from sese.data.mixing import Mixer, Mixture
from sese.data.mixture_sampler import MixtureSampler
from sese.labels.data import noises_of, speakers_of

Part = Literal["train", "held_out", "all"]


@dataclass(frozen=True)
class SpeakerDataConfig:
    """Data to train on.

    Attributes:
        train: corpus folders with speech and noise, in any layout of `sese data describe`.
        held_out: share of the speakers and of the noises that training leaves out, to choose by.
        mix: settings of mixtures.
        cache_dir: folder for decoded corpora; the user's cache folder when empty.
    """

    train: tuple[str, ...] = ()
    held_out: float = 0.1
    mix: MixConfig = field(default_factory=MixConfig)
    cache_dir: str = ""

    def __post_init__(self) -> None:
        inner_shares(self, "data", "held_out")

    def banks(self, sample_rate: int) -> Banks:
        """Return speech of known speakers, and noise.

        Raises:
            InputError: no corpus, or no speech whose speaker is known.
        """
        banks = load_banks(self.train, sample_rate=sample_rate, cache_dir=self.cache_dir or None)
        return replace(banks, speech=known(banks.speech))


def known(speech: Bank, least: int = 2) -> Bank:
    """Return the recordings whose speaker the corpus names.

    Raises:
        InputError: there are fewer speakers than so many.
    """
    unknown = [number for number, name in enumerate(speech.group_names) if name == UNKNOWN]
    kept = ~np.isin(speech.groups, unknown)
    if len(np.unique(speech.groups[kept])) < least:
        told = "two speakers apart" if least > 1 else "speaker"
        raise InputError(
            f"the speech tells no {told}; lay it out as clean/SOURCE/SPEAKER/*, see `sese data describe`"
        )
    return speech.subset(kept)


class SpeakerPairSampler(MixtureSampler):
    """Draw the specification of each example, so that examples 2n and 2n + 1 have the same speaker."""

    def first_recording(self, index: int, uniform: float) -> int:
        """Return the recording that the speech of an example begins with."""
        pair = np.random.default_rng([self.seed, index // 2])
        recording = self.speech_sampler.sample(pair.random())
        return recording if index % 2 == 0 else self.speech_sampler.sample_same_group(recording, uniform)


@dataclass(frozen=True)
class SpeakerClips:
    """Clips of speakers by their number.

    Attributes:
        mixer: makes them.
    """

    mixer: Mixer

    def __call__(
        self, numbers: Sequence[int], snr_db: Sequence[float] | None = None
    ) -> tuple[Mixture, Tensor]:
        """Make the clips of these numbers, and return their speakers' numbers (clip,) too."""
        speakers = [self.speech.groups[self.mixer.sampler(int(number)).speech[0][0]] for number in numbers]
        return self.mixer(numbers, snr_db), torch.tensor(np.array(speakers))

    @property
    def speech(self) -> Bank:
        """Return the recordings of the speakers."""
        return self.mixer.sampler.speech

    def recordings(self, number: int) -> frozenset[int]:
        """Return the recordings that a clip's speech comes from."""
        return frozenset(recording for recording, _ in self.mixer.sampler(number).speech)


def speaker_clips(
    banks: Banks, mix: MixConfig, sample_rate: int, seed: int, part: Part = "all", held_out: float = 0.1
) -> SpeakerClips:
    """Return clips of the speakers that train, of those held out, or of all.

    Clips of the parts differ, whoever speaks; those that are not to train are not augmented.

    Raises:
        InputError: a part is left without speakers or noises.
    """
    speech, noise = banks.speech, banks.noise
    if part != "all":
        speech = speech.subset(speakers_of(speech, held_out, seed, part))
        noise = noise.subset(noises_of(noise, held_out, seed, part))
    mix = replace(mix if part == "train" else mix.without_augmentation(), sample_rate=sample_rate)
    mix = replace(mix, silence=0.0, conversation=0.0)  # each clip has speech, of one speaker
    stream = {"train": 3 * seed, "held_out": 3 * seed + 1}.get(part, 3 * seed + 2)
    rooms = banks.rir if part == "train" else None
    return SpeakerClips(Mixer(mix, speech, noise, rooms, stream, sampler=SpeakerPairSampler))


def unseen(roots: Sequence[Path | str], sample_rate: int, cache_dir: str = "") -> Banks:
    """Return speech of known speakers, and noise, of folders that no training saw.

    Raises:
        InputError: no corpus, or no speech whose speaker is known.
    """
    banks = load_banks(roots, sample_rate=sample_rate, cache_dir=cache_dir or None, split=None)
    return replace(banks, speech=known(banks.speech))


def spoken(roots: Sequence[Path | str], sample_rate: int, cache_dir: str = "", least: int = 2) -> Bank:
    """Return speech of known speakers in folders, without asking for noise.

    Raises:
        InputError: speech of fewer known speakers than so many.
    """
    corpus = Corpus()
    for root in roots:
        corpus += scan(root)
    if not corpus.speech:
        raise InputError(f"no speech in {', '.join(map(str, roots))}; see `sese data describe`")
    return known(load_bank(corpus.speech, sample_rate, cache_dir or None), least)
