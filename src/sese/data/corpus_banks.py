"""Banks of speech, noise and room responses from folders of audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sese.core.errors import InputError
from sese.data.bank import Bank, Tell, load_bank
from sese.data.corpora import Corpus, Problem, Recording, Split, scan


@dataclass(frozen=True, eq=False)
class Banks:
    """Banks of a mixer.

    Attributes:
        speech, noise: Banks of speech and noise.
        rir: Bank of room responses, if any.
        problems: Files that could not be used, and why.
    """

    speech: Bank
    noise: Bank
    rir: Bank | None
    problems: tuple[Problem, ...]


def load_banks(
    roots: Sequence[Path | str] = (),
    *,
    speech: Sequence[Path | str] = (),
    noise: Sequence[Path | str] = (),
    rir: Sequence[Path | str] = (),
    sample_rate: int = 16000,
    cache_dir: Path | str | None = None,
    split: Split | None = "train",
    use: str = "training",
    tell: Tell | None = None,
) -> Banks:
    """Load banks from corpus folders: `find_corpus`, then `decode_corpus`.

    Raises:
        InputError: There is no speech or no noise.
    """
    corpus = find_corpus(roots, speech=speech, noise=noise, rir=rir, split=split, use=use)
    return decode_corpus(corpus, sample_rate, cache_dir, tell)


def find_corpus(
    roots: Sequence[Path | str] = (),
    *,
    speech: Sequence[Path | str] = (),
    noise: Sequence[Path | str] = (),
    rir: Sequence[Path | str] = (),
    split: Split | None = "train",
    use: str = "training",
) -> Corpus:
    """Find the recordings of corpus folders; nothing is decoded.

    If there are pairs of clean and noisy speech but no noise, the noise is their difference.

    Args:
        roots: Corpus folders, in any layout of `scan`.
        speech, noise, rir: Folders with recordings of one kind.
        split: Half to read of folders in the VoiceBank+DEMAND layout, so that its test half is never trained
            on. None: both.
        use: Purpose of the data, for error messages.

    Raises:
        InputError: There is no speech or no noise.
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
            layout = {"speech": "clean/SPEAKER/*.wav", "noise": "noise/CATEGORY/*.wav"}[kind]
            raise InputError(
                f"{use} data: no {kind} {given}; put it in {layout} there, or name a folder of it; "
                "`sese data describe` shows what is found"
            )
    return corpus


def decode_corpus(
    corpus: Corpus,
    sample_rate: int = 16000,
    cache_dir: Path | str | None = None,
    tell: Tell | None = None,
) -> Banks:
    """Decode the recordings of a corpus.

    Args:
        corpus: Recordings, with speech and noise among them.
        sample_rate: Sample rate of the banks in Hz.
        cache_dir: Folder of decoded audio, see `load_bank`.
        tell: Called while recordings are decoded, see `load_bank`.

    Raises:
        InputError: No speech, no noise or no room response can be used.
    """
    voices = load_bank(corpus.speech, sample_rate, cache_dir, tell)
    noises = load_bank(corpus.noise, sample_rate, cache_dir, tell)
    rooms = load_bank(corpus.rir, sample_rate, cache_dir, tell) if corpus.rir else None
    banks = (voices, noises) if rooms is None else (voices, noises, rooms)
    problems = corpus.problems + tuple(problem for bank in banks for problem in bank.problems)
    return Banks(voices, noises, rooms, problems)


def noise_of_pairs(pairs: Sequence[tuple[Recording, Recording]]) -> tuple[Recording, ...]:
    """Return the noise of (clean, noisy) pairs: each noisy file minus its clean file."""
    return tuple(replace(noisy, kind="noise", group="pairs", subtract=clean.path) for clean, noisy in pairs)
