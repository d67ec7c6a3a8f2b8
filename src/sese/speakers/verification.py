"""Speaker verification on noisy clips of speakers that no training saw: are two clips of one speaker?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from sese.core.errors import InputError
from sese.speakers.clips import SpeakerClips
from sese.speakers.embedding import SpeakerNet, same_speaker_logits

CLEAN_DB = 60.0
"""SNR of clips that count as clean."""

AT_ONCE = 64
RESAMPLES, SEED = 200, 0


def equal_error_rate(scores: ArrayLike, same: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the rate in [0, 1] at which refused pairs of one speaker equal accepted pairs of two.

    Args:
        scores: [pair], higher for one speaker.
        same: [pair] bool, whether it is.
        weights: [pair], how often each counts; once if None.

    Returns:
        NaN without pairs of both kinds.
    """
    score, one = np.asarray(scores, np.float64), np.asarray(same, bool)
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, np.float64)
    total, others = weight[one].sum(), weight[~one].sum()
    if not total or not others:
        return float("nan")
    order = np.argsort(score)
    score, one, weight = score[order], one[order], weight[order]
    ends = np.append(np.diff(score) > 0, True)  # thresholds lie between different scores
    refused = np.append(0, np.cumsum(weight * one)[ends]) / total
    accepted = 1 - np.append(0, np.cumsum(weight * ~one)[ends]) / others
    after = int(np.argmax(refused >= accepted))
    if refused[after] == accepted[after]:
        return float(refused[after])
    before = after - 1
    # Between the two thresholds both rates are taken as straight lines.
    gap = accepted[before] - refused[before]
    share = gap / (gap + refused[after] - accepted[after])
    return float(refused[before] + share * (refused[after] - refused[before]))


@torch.no_grad()
def embed(net: SpeakerNet, clips: SpeakerClips, numbers: Sequence[int], snr_db: float) -> tuple[Any, Any]:
    """Embed clips at one SNR: embeddings float32 [clip, unit] and speakers [clip]."""
    parts, speakers = [], []
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        mixture, who = clips(some, [snr_db] * len(some))
        parts.append(net(mixture.noisy[:, 0]))
        speakers.append(who)
    return torch.cat(parts), torch.cat(speakers)


def verify(
    net: SpeakerNet, clips: SpeakerClips, count: int, snrs_db: Sequence[float]
) -> list[dict[str, Any]]:
    """Measure equal error rates over all pairs of some clips, at each SNR.

    Pairs that share a recording do not count. The interval is that of a bootstrap over speakers.

    Args:
        net: the embedding network.
        clips: clips of speakers that it has not seen.
        count: clips at each SNR.
        snrs_db: SNRs of the clips in dB.

    Returns:
        For each SNR `snr_db`, `eer`, `low`, `high` (95%), `eer_alike`, that among pairs of one source alone
        (the folder above a speaker's), `pairs_same`, `pairs_other` and `speakers`.

    Raises:
        InputError: no two clips of one speaker, or none of two.
    """
    numbers = range(count)
    first, second = np.triu_indices(count, 1)
    held = [clips.recordings(number) for number in numbers]
    apart = np.array([not held[a] & held[b] for a, b in zip(first, second, strict=True)])
    first, second = first[apart], second[apart]
    source = _sources(clips)
    rows = []
    for snr_db in snrs_db:
        embeddings, speakers = embed(net, clips, numbers, snr_db)
        who = speakers.numpy()
        scores = same_speaker_logits(embeddings).numpy()[first, second]
        a, b = who[first], who[second]
        same, alike = a == b, source[a] == source[b]
        if same.all() or not same.any():
            raise InputError("verification needs two speakers, and two recordings of one of them")
        drawn = _resampled(scores, same, a, b)
        low, high = np.percentile(drawn, (2.5, 97.5)) if len(drawn) else (np.nan, np.nan)
        rows.append(
            {
                "snr_db": snr_db,
                "eer": equal_error_rate(scores, same),
                "low": float(low),
                "high": float(high),
                "eer_alike": equal_error_rate(scores[alike], same[alike]),
                "pairs_same": int(same.sum()),
                "pairs_other": int((~same).sum()),
                "speakers": len(np.unique(who)),
            }
        )
    return rows


def _sources(clips: SpeakerClips) -> np.ndarray:
    """Return the number of the folder above each speaker's, [speaker]."""
    above = {
        int(group): str(path.parent.parent)
        for group, path in zip(clips.speech.groups, clips.speech.paths, strict=True)
    }
    names = sorted(set(above.values()))
    return np.array([names.index(above[group]) for group in range(len(clips.speech.group_names))])


def _resampled(scores: np.ndarray, same: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return equal error rates with the speakers drawn again, with replacement."""
    present, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    first, second = np.split(places, 2)
    generator = np.random.default_rng(SEED)
    rates = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(generator.integers(len(present), size=len(present)), minlength=len(present))
        # A speaker drawn twice is no pair of two speakers: pairs of one count as often as it was drawn.
        weights = np.where(same, drawn[first], drawn[first] * drawn[second])
        rates.append(equal_error_rate(scores, same, weights))
    return np.array([rate for rate in rates if np.isfinite(rate)])
