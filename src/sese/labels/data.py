"""Labelled clips: mixtures of speech and noise and what is true of each frame: speech or none, sex, SNR.

Speakers and noises that a training leaves out, to choose by, are drawn by the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sese.core.checks import inner_shares
from sese.core.errors import InputError
from sese.core.untrusted import read_table
from sese.data.bank import Bank
from sese.data.corpus_banks import Banks, load_banks
from sese.data.mix_config import MixConfig
from sese.data.mixing import Mixer
from sese.nn.label_network import LabelNetConfig

ACTIVE_DB = -35.0
"""Level of a frame, relative to its clip's 95th percentile, from which somebody speaks."""

SILENT_SHARE = 0.5
"""Share of clips for voice activity in which speech is taken out for a while, since pauses are rare."""

FRAME_SNR_DB = 20.0
"""Largest SNR of a frame in either direction; what lies beyond is labelled as this."""

SEXES = {"f": 1.0, "female": 1.0, "m": 0.0, "male": 0.0}


@dataclass(frozen=True)
class LabelDataConfig:
    """Data to train on.

    Attributes:
        train: corpus folders with speech and noise, in any layout of `sese data describe`.
        labels: CSV table for ``speaker_sex`` with the columns ``path``, as an audio file's path ends, and
            ``sex``: f, m, or nothing where it is not known.
        held_out: share of the speakers and of the noises that training leaves out.
        seconds: length of a clip in seconds.
        snr_db: lowest and highest.
        cache_dir: folder for decoded corpora; the user's cache folder when empty.
    """

    train: tuple[str, ...] = ()
    labels: str = ""
    held_out: float = 0.15
    seconds: float = 2.0
    snr_db: tuple[float, float] = (-5.0, 20.0)
    cache_dir: str = ""

    def __post_init__(self) -> None:
        inner_shares(self, "data", "held_out")
        if not self.seconds >= 0.5:
            raise InputError(f"data.seconds is {self.seconds}; use 0.5 or more")
        if self.snr_db[0] > self.snr_db[1]:
            raise InputError(f"data.snr_db is {list(self.snr_db)}; give the lower one first")


@dataclass(frozen=True)
class Labelled:
    """Clips and what is true of them.

    Attributes:
        audio: float32 (clip, time).
        target: float32 (clip, frame), 0 or 1; for ``frame_snr`` the SNR in units of 10 dB.
    """

    audio: Tensor
    target: Tensor


class LabelledClips:
    """Makes labelled clips by their number, each from (seed, number) alone.

    Args:
        task: a task of `TASKS`.
        config: settings of the data.
        net: sizes of the network: its rate and frames.
        seed: seed of the clips, and of the choice of held-out speakers.
        part: ``train``, ``held_out``, or ``all``.
        roots: corpus folders; those of the configuration if None.

    Raises:
        InputError: no corpus, no table of labels, or nothing left.
    """

    def __init__(
        self,
        task: str,
        config: LabelDataConfig,
        net: LabelNetConfig,
        seed: int,
        part: str = "train",
        roots: Sequence[Path | str] | None = None,
    ):
        self.task, self.net, self.seed = task, net, seed
        roots = config.train if roots is None else roots
        cache = config.cache_dir or None
        banks: Banks = load_banks(roots, sample_rate=net.sample_rate, cache_dir=cache)
        speech, noise = banks.speech, banks.noise
        self.sexes: np.ndarray | None = None
        if task == "speaker_sex":
            sexes = read_sexes(Path(config.labels), speech)
            speech, self.sexes = speech.subset(np.isfinite(sexes)), sexes[np.isfinite(sexes)]
        if part != "all":
            voices = speakers_of(speech, config.held_out, seed, part)
            self.sexes = None if self.sexes is None else self.sexes[voices]
            speech = speech.subset(voices)
            noise = noise.subset(noises_of(noise, config.held_out, seed, part))
        mix = MixConfig(sample_rate=net.sample_rate, seconds=config.seconds, snr_db=config.snr_db)
        mix = replace(mix.without_augmentation(), silence=0.0)
        # Clips that choose and test differ from those that train, whoever speaks.
        self.mixer = Mixer(
            mix, speech, noise, None, {"train": 3 * seed, "held_out": 3 * seed + 1}.get(part, 0)
        )

    def __call__(self, numbers: Sequence[int]) -> Labelled:
        """Make the clips of these numbers."""
        mixture = self.mixer(numbers)
        noisy, clean = mixture.noisy[:, 0], mixture.clean[:, 0]
        frames = 1 + (noisy.shape[1] - self.net.n_fft) // self.net.hop_length
        if self.sexes is not None:
            spoken = [self.mixer.sampler(int(number)).speech[0][0] for number in numbers]
            target = torch.tensor(self.sexes[spoken], dtype=torch.float32)
            return Labelled(noisy, target[:, None].expand(-1, frames))
        silenced = torch.stack([self._silence(int(number), noisy.shape[1]) for number in numbers])
        noisy, clean = noisy - clean * silenced, clean * (1 - silenced)
        if self.task == "frame_snr":
            return Labelled(noisy, frame_snr(clean, noisy - clean, self.net))
        return Labelled(noisy, active(clean, self.net))

    def _silence(self, number: int, time: int) -> Tensor:
        """Return where a clip's speech is taken out: (time,) of 1 there and 0 elsewhere."""
        generator = np.random.default_rng([self.mixer.seed, number])
        where = torch.zeros(time)
        if generator.random() < SILENT_SHARE:
            length = int(time * generator.uniform(0.25, 0.75))
            start = int(generator.integers(-length // 2, time - length // 2))
            where[max(0, start) : start + length] = 1
        return where


def active(clean: Tensor, net: LabelNetConfig) -> Tensor:
    """Return 1 for each frame in which somebody speaks, else 0: clean (clip, time) -> (clip, frame)."""
    power = clean.unfold(1, net.n_fft, net.hop_length).square().mean(2)
    loud = power.quantile(0.95, dim=1, keepdim=True).clamp_min(1e-8)
    return (power > loud * 10 ** (ACTIVE_DB / 10)).float()


def frame_snr(clean: Tensor, noise: Tensor, net: LabelNetConfig) -> Tensor:
    """Return the SNR of each frame in units of 10 dB, up to `FRAME_SNR_DB`: (clip, time) -> (clip, frame)."""
    window = torch.hann_window(net.n_fft)
    speech_power, noise_power = (
        (side.unfold(1, net.n_fft, net.hop_length) * window).square().sum(2) for side in (clean, noise)
    )
    # Where both are silent there is no speech to keep.
    decibels = 10 * torch.log10((speech_power + 1e-12) / (noise_power + 1e-10))
    return decibels.clamp(-FRAME_SNR_DB, FRAME_SNR_DB) / 10


def read_sexes(table: Path, speech: Bank) -> np.ndarray:
    """Read the sex of each recording's speaker: 1 for f, 0 for m, NaN where not known: [recording].

    Raises:
        InputError: no table, columns missing, or no recording of a known sex.
    """
    if not table.is_file():
        raise InputError(f"data.labels is '{table}'; give a CSV table with the columns path and sex")
    columns, rows = read_table(table)
    if not {"path", "sex"} <= set(columns):
        raise InputError(f"{table} has the columns {columns}; path and sex are needed")
    known = {row["path"]: SEXES.get(row["sex"].strip().lower(), np.nan) for _, row in rows}
    sexes = np.full(len(speech), np.nan)
    for number, path in enumerate(speech.paths):
        parts = path.as_posix().split("/")
        ends = ("/".join(parts[at:]) for at in range(len(parts)))
        sexes[number] = next((known[end] for end in ends if end in known), np.nan)
    if len(np.unique(sexes[np.isfinite(sexes)])) < 2:
        raise InputError(f"{table} does not tell the sex of speakers of both sexes in the corpus")
    return sexes


def speakers_of(speech: Bank, share: float, seed: int, part: str) -> np.ndarray:
    """Return which of [recording] belong to a part, whole speakers together; see `_part_of`."""
    return _part_of("speaker", len(speech.group_names), share, seed, part)[speech.groups]


def noises_of(noise: Bank, share: float, seed: int, part: str) -> np.ndarray:
    """Return which of [recording] belong to a part, each for itself; see `_part_of`."""
    return _part_of("recording of noise", len(noise), share, seed, part)


def _part_of(what: str, count: int, share: float, seed: int, part: str) -> np.ndarray:
    """Return which belong to a part: ``held_out``, a share and one at least, or ``train``.

    Raises:
        InputError: none are left to train on.
    """
    held = np.random.default_rng([seed, count]).permutation(count) < share * count
    kept: np.ndarray = held == (part == "held_out")
    if not kept.any():
        remedy = "make data.held_out smaller" if count > 1 else "give two or more"
        raise InputError(f"with {count} {what}(s) in all, none is left to train on; {remedy}")
    return kept
