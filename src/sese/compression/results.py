"""Types of the result of a compression study: plain dicts, as `compress.json` holds them."""

from __future__ import annotations

from typing import Any, TypedDict

from sese.evaluation.results import Mean


class StudyFacts(TypedDict):
    """Facts about what was compressed and how; `search` is None where there was none."""

    model: str
    data: str
    clips: int
    choose_clips: int
    test: str | None
    test_clips: int
    search: dict[str, int] | None
    tune_steps: int


class _Network(TypedDict):
    name: str
    bytes: int
    of_8_bit: float
    error: float


class Network(_Network, total=False):
    """A network of a study, and its size as a share of the 8-bit network's.

    `bits` and `signal_bytes` are missing for the network in float. The others are missing where nothing was
    scored on other clips: `test` holds scores by column, `against_8_bit` their differences clip by clip.
    """

    bits: dict[str, int]
    signal_bytes: int
    test_error: float
    test: dict[str, Mean]
    against_8_bit: dict[str, Mean]


class Study(StudyFacts):
    """Result of a study: its networks, and the fronts of the search on few and on more clips."""

    measure: str
    genes: list[str]
    evaluations: int
    networks: list[Network]
    front: list[dict[str, Any]]
    search_front: list[dict[str, Any]]
