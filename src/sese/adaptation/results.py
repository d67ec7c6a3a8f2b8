"""Types of the report of an adaptation: plain dicts, as the JSON of `sese adapt` holds them."""

from __future__ import annotations

from typing import TypedDict

from sese.evaluation.results import Mean


class TeacherFacts(TypedDict):
    """Name of the teacher, and its multiply-accumulates for a second of audio."""

    name: str
    macs_per_second: float


class _Recordings(TypedDict):
    files: int
    learn_minutes: float
    held_out_minutes: float


class Recordings(_Recordings, total=False):
    """Recordings that were used; `left_out` counts the others, `warning` tells of several speakers."""

    left_out: int
    warning: str


class AdaptedLevel(TypedDict):
    """A level with its SI-SDR to its target on held-out pieces, in dB, before and after."""

    name: str
    utilization: float
    adapted: bool
    macs_per_second: float
    before_db: float
    after_db: float


class GeneralLevel(TypedDict):
    """Mean SI-SDR of a level on the general set, in dB, and the mean of the changes with its interval."""

    level: int
    before_db: float
    after_db: float
    change_db: Mean


class _General(TypedDict):
    clips: int
    tolerance_db: float
    harmed: list[int]
    levels: list[GeneralLevel]


class General(_General, total=False):
    """Outcome on the general set; `harmed` numbers the levels that lose more than is tolerated."""

    teacher_db: float


class AdaptationCost(TypedDict):
    """Time, steps, audio and multiply-accumulates that an adaptation took."""

    minutes: float
    steps: int
    best_step: int
    audio_minutes: float
    macs: float


class AdaptationFacts(TypedDict):
    """Facts of an adaptation that has ended; `share` is how far the weights went to the adapted ones."""

    teacher: TeacherFacts
    parameters: int
    recordings: Recordings
    levels: list[AdaptedLevel]
    share: float
    general: General
    cost: AdaptationCost
    ended: str


class Report(AdaptationFacts):
    """Report of `sese adapt`; `refused` says why nothing was written, and is empty where the model was."""

    model: str
    name: str
    refused: str
