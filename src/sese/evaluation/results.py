"""Types of the results of evaluations, comparisons and profiles: plain dicts, as JSON files hold them."""

from __future__ import annotations

from typing import Any, TypedDict

Mean = dict[str, float]
"""A mean over files: `mean`, the ends `low` and `high` of its 95% interval, `count` of the files with a
finite value, and `failures`, the count of the others."""

FileRow = dict[str, Any]
"""One file at one level: `file`, `level`, `snr_db`, `audio_s`, `utilization`, `macs_per_second`, `enhance_s`,
and a score for each column of the metrics."""


class MetricFacts(TypedDict):
    """Facts about a metric for reports; `version` is None where the package is not installed."""

    columns: list[str]
    definition: str
    package: str
    version: str | None


class Failure(TypedDict):
    """A score that is not finite."""

    file: str
    level: str
    column: str


class Unread(TypedDict):
    """A recording without a clean side that cannot be read or scored, and why."""

    file: str
    error: str


class SnrGroup(TypedDict):
    """Means over the files whose input SNR is `snr_db`, or within `width_db` above it."""

    snr_db: float
    width_db: float
    files: int
    mean: dict[str, float]


class Compute(TypedDict):
    """Mean compute of a level; None where it is not known."""

    utilization: float | None
    macs_per_second: float | None
    real_time_factor: float | None


class _LevelResult(Compute):
    level: str
    budget: float | str | None
    dynamic: bool
    mean: dict[str, Mean]
    by_input_snr: list[SnrGroup]


class LevelResult(_LevelResult, total=False):
    """Scores at one level, by column; `dynamic` says whether the level is decided frame by frame.

    `improvement` over the noisy input, paired by file, is missing for the noisy input itself.
    """

    improvement: dict[str, Mean]


class _Evaluation(TypedDict):
    model: str
    sample_rate: int
    file_count: int
    audio_s: float
    jobs: int
    interval: str
    metrics: dict[str, MetricFacts]
    versions: dict[str, str]
    levels: list[LevelResult]
    failures: list[Failure]
    files: list[FileRow]


class Evaluation(_Evaluation, total=False):
    """Result of an evaluation. The first of `levels` is the noisy input.

    The real-time factor of levels was measured with `jobs` processes at work at once. `data`, the folder of
    the pairs, is there in results of `sese evaluate`. `unread` is missing in results of earlier versions.
    """

    data: str
    unread: list[Unread]


class PairScores(TypedDict):
    """Scores of pairs of audio: `mean` by column, and a row of columns for each pair."""

    mean: dict[str, Mean]
    files: list[dict[str, float]]


class _Point(Compute):
    model: str
    kind: str
    level: str
    budget: float | str | None
    mean: dict[str, Mean]
    front: dict[str, list[str]]


class Point(_Point, total=False):
    """A level of a model in a comparison; `kind` is static or dynamic.

    `front` holds by column the costs, of "macs" and "time", at which no other point is better. `gain` of
    dynamic points holds by column the mean score above the static levels at equal MACs, paired by file; None
    below the static levels.
    """

    gain: dict[str, Mean | None]


class Outcome(TypedDict):
    """Average `cost` and mean `score` of the oracle at one `price` of compute."""

    price: float
    cost: float
    score: float


class OraclePoint(Outcome):
    """An outcome of the oracle for one model and column; `over` names the cost."""

    model: str
    column: str
    over: str


class Comparison(TypedDict):
    """Result of a comparison of evaluations; `noisy` holds the scores of the input by column."""

    models: list[str]
    columns: list[str]
    file_count: int
    audio_s: float
    interval: str
    metrics: dict[str, MetricFacts]
    jobs: list[int]
    noisy: dict[str, Mean]
    points: list[Point]
    oracle: list[OraclePoint]


class StreamTimes(TypedDict):
    """Times of a call with one frame, in milliseconds, and the real-time factor of their median."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    real_time_factor: float


class FileTimes(TypedDict):
    """Median time in seconds to enhance a file in one call, its real-time factor, and its compute."""

    seconds: float
    real_time_factor: float
    utilization: float
    macs_per_second: float


class LevelProfile(TypedDict):
    """Cost of one budget; `runs` names the one level that it runs.

    `runs` and `parameters` are None where the level changes from frame to frame.
    """

    level: str
    runs: str | None
    utilization: float
    macs_per_second: float
    parameters: int | None
    stream: StreamTimes
    file: FileTimes


class Profile(TypedDict):
    """Cost of a model on a machine.

    `memory_bytes` is the peak of a process that has the model open and has run a second of audio, and
    `bare_memory_bytes` that of a process with NumPy alone; None where the system does not tell.
    """

    model: str
    machine: dict[str, Any]
    rounds: int
    frame_ms: float
    latency_ms: float
    memory_bytes: int | None
    bare_memory_bytes: int | None
    levels: list[LevelProfile]
