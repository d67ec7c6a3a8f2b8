"""Scores of conversations, on speech and on pauses apart: sets made by `sese data mix --activity`.

`activity.csv` beside clean/ and noisy/ has the columns file, kind, begin_s and end_s: intervals with
`speech`, one for each turn of a talker, and intervals with `noise`. What lies outside is without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sese.core.errors import InputError
from sese.core.untrusted import read_table
from sese.evaluation.metrics import si_sdr

FILE = "activity.csv"
AFTER_S = 0.1  # behind a turn, which is part of no pause: filters and rooms ring
ONSET_S = 0.2
LOWEST_DBFS = -120.0  # of digital silence
MOST_DB = 40.0  # of an onset of which less is left, or that is so much louder
COLUMNS = ("speech_si_sdr", "pause_dbfs", "onset_loss_db")
LOWER_IS_BETTER = ("pause_dbfs", "onset_loss_db")
"""Columns that are not to be maximised."""

DEFINITION = (
    "Conversations: SI-SDR of the turns joined together; RMS level in dBFS outside of turns (from 0.1 s after"
    " one to the next, at least -120); onset loss in dB, 20 lg of the output's gain along the clean speech"
    " over a whole turn, divided by that in its first 0.2 s, mean over the turns, at most 40"
)

Interval = tuple[float, float]
"""Beginning and end in seconds."""


@dataclass(frozen=True)
class Activity:
    """Intervals with speech and intervals with noise in a clip, in order."""

    speech: tuple[Interval, ...]
    noise: tuple[Interval, ...]


def read_activity(folder: Path) -> dict[str, Activity]:
    """Read the activities of a set by file name; empty where it is no set of conversations.

    Raises:
        InputError: a column is missing, or a row is of no use.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    columns, rows = read_table(path)
    if missing := {"file", "kind", "begin_s", "end_s"} - set(columns):
        raise InputError(
            f"{path}: no column {sorted(missing)[0]}; make the set with `sese data mix --activity`"
        )
    found: dict[str, dict[str, list[Interval]]] = {}
    for number, row in rows:
        kinds = found.setdefault(row["file"], {"speech": [], "noise": []})
        try:
            begin, end = float(row["begin_s"]), float(row["end_s"])
            if not 0 <= begin < end < math.inf:
                raise ValueError
            kinds[row["kind"]].append((begin, end))
        except (ValueError, KeyError):
            raise InputError(
                f"{path}: line {number}: give the kind speech or noise, and seconds from begin_s to end_s"
            ) from None
    return {
        name: Activity(tuple(sorted(kinds["speech"])), tuple(sorted(kinds["noise"])))
        for name, kinds in found.items()
    }


def active(intervals: Sequence[Interval], time: int, sample_rate: int, after_s: float = 0.0) -> np.ndarray:
    """Return which of `time` samples lie in intervals, each longer by `after_s`: bool [time]."""
    inside = np.zeros(time, bool)
    for begin, end in intervals:
        inside[round(begin * sample_rate) : round((end + after_s) * sample_rate)] = True
    return inside


def conversation_scores(
    clean: np.ndarray, estimate: np.ndarray, sample_rate: int, activity: Activity
) -> dict[str, float]:
    """Score speech and pauses of a clip apart; NaN where there are none.

    Args:
        clean: [time].
        estimate: [time], as long.
        sample_rate: sample rate in Hz.
        activity: when there is speech.

    Returns:
        One value for each of `COLUMNS`, see `DEFINITION`.

    Raises:
        InputError: the two differ in length.
    """
    if clean.shape != estimate.shape:
        raise InputError(
            f"conversation: {len(clean)} clean samples and {len(estimate)} estimated; make them equal"
        )
    clean, estimate = np.asarray(clean, np.float64), np.asarray(estimate, np.float64)
    speech = active(activity.speech, len(clean), sample_rate)
    pause = estimate[~active(activity.speech, len(clean), sample_rate, AFTER_S)]
    return {
        "speech_si_sdr": si_sdr(clean[speech], estimate[speech]) if speech.any() else math.nan,
        "pause_dbfs": level_dbfs(pause) if len(pause) else math.nan,
        "onset_loss_db": onset_loss_db(clean, estimate, sample_rate, activity.speech),
    }


def level_dbfs(audio: np.ndarray) -> float:
    """Return the RMS level of audio [time] in dB relative to 1, at least `LOWEST_DBFS`.

    Example:
        >>> level_dbfs(np.full(8, 0.1)), level_dbfs(np.zeros(8))
        (-20.0, -120.0)
    """
    return max(10 * math.log10(max(float(np.mean(np.square(audio))), 1e-30)), LOWEST_DBFS)


def onset_loss_db(
    clean: np.ndarray, estimate: np.ndarray, sample_rate: int, turns: Sequence[Interval]
) -> float:
    """Return by how many dB beginnings of turns are weaker in the estimate than the whole turns.

    The gain of a stretch is that of the estimate along the clean speech, <estimate, clean> / <clean, clean>:
    other sounds do not count. The loss of a turn is 20 lg(gain of the whole / gain of the first 0.2 s),
    limited to 40 dB either way, and 40 dB where nothing is left of the beginning. Turns that are shorter than
    0.4 s, or of which nothing is left at all, are left out.

    Args:
        clean: [time].
        estimate: [time], as long.
        sample_rate: sample rate in Hz.
        turns: beginnings and ends in seconds.

    Returns:
        Mean over the turns; NaN without one.
    """
    losses = []
    for begin, end in turns:
        whole = slice(round(begin * sample_rate), round(end * sample_rate))
        onset = slice(whole.start, whole.start + round(ONSET_S * sample_rate))
        if end - begin < 2 * ONSET_S or not clean[onset].any():
            continue
        overall, first = (
            float(estimate[part] @ clean[part] / (clean[part] @ clean[part])) for part in (whole, onset)
        )
        if overall > 0:
            ratio = 20 * math.log10(overall / max(first, overall * 1e-3))
            losses.append(min(max(ratio, -MOST_DB), MOST_DB))
    return float(np.mean(losses)) if losses else math.nan
