"""Hold the facts about a model, as its file carries them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sese.core.errors import plain

FORMAT = 2
"""Version of the model file, which this package writes and reads."""


@dataclass(frozen=True)
class Level:
    """One way to run a model: the share of compute that it uses, in (0, 1], and its cost."""

    utilization: float
    macs_per_second: float
    parameters: int


@dataclass(frozen=True)
class Card:
    """Facts about a model.

    Attributes:
        name: Name of the model.
        version: Version of the package that exported it.
        sample_rate: Sample rate in Hz.
        hop_length: Number of samples in a frame.
        lookahead_samples: Number of samples by which the output is late.
        latency_samples: One hop and the lookahead.
        levels: Levels of the model, the lowest first.
        parameters: Number of parameters of the whole model.
        router: Whether a router in the model can pick levels.
        router_macs_per_second: Cost of the router.
        licence: Licences of the code, the weights and the data.
        quality: Measured quality: budget, or "noisy" for the input -> metric -> value.
        description: One sentence about the model.
        gates: Whether the router consists of gates. They pick no level but channels, with any share of
            compute from 0 to 1, and a cost from `static_macs_per_second` on.
        static_macs_per_second: Cost of a model with gates where all are closed.
        alternatives: Whether the levels lie side by side, as experts do: they cost the same, and the router
            picks one.
        rests: Whether the router is a dial that can run no level at all, where nobody speaks or nothing
            disturbs. The share of compute of such a frame is 0.
        in_place: States that a call with one frame reads before it writes the next ones, so that both may be
            the same memory.
    """

    name: str
    version: str
    sample_rate: int
    hop_length: int
    lookahead_samples: int
    latency_samples: int
    levels: tuple[Level, ...]
    parameters: int
    router: bool
    router_macs_per_second: float
    licence: dict[str, str]
    quality: dict[str, dict[str, float]]
    description: str
    gates: bool = False
    static_macs_per_second: float = 0.0
    alternatives: bool = False
    rests: bool = False
    in_place: tuple[str, ...] = ()

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in milliseconds: one hop and the lookahead."""
        return 1000 * self.latency_samples / self.sample_rate

    def to_json(self) -> str:
        """Return the card as it lies in a model file, under the metadata key `sese`."""
        return json.dumps({"format": FORMAT} | asdict(self))

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Card:
        """Return the card of a file's facts, as JSON has them; facts that are new have defaults.

        Raises:
            KeyError: a fact is missing.
            ValueError, TypeError, AttributeError, OverflowError: a fact is of another type.
        """
        description, quality = description_and_quality(facts)
        return cls(
            name=plain(facts["name"]),
            version=plain(facts["version"]),
            sample_rate=int(facts["sample_rate"]),
            hop_length=int(facts["hop_length"]),
            lookahead_samples=int(facts["lookahead_samples"]),
            latency_samples=int(facts["latency_samples"]),
            levels=tuple(
                Level(float(row["utilization"]), float(row["macs_per_second"]), int(row["parameters"]))
                for row in facts["levels"]
            ),
            parameters=int(facts["parameters"]),
            router=bool(facts["router"]),
            router_macs_per_second=float(facts.get("router_macs_per_second", 0.0)),
            licence={plain(part): plain(words) for part, words in facts["licence"].items()},
            quality=quality,
            description=description,
            gates=bool(facts.get("gates", False)),
            static_macs_per_second=float(facts.get("static_macs_per_second", 0.0)),
            alternatives=bool(facts.get("alternatives", False)),
            rests=bool(facts.get("rests", False)),
            in_place=tuple(plain(name) for name in facts.get("in_place", ())),
        )


def description_and_quality(facts: dict[str, Any]) -> tuple[str, dict[str, dict[str, float]]]:
    """Return the description and the quality of the levels, which every format holds alike.

    Raises:
        ValueError, TypeError, AttributeError, OverflowError: a fact is of another type.
    """
    quality = {
        plain(budget): {plain(metric): float(score) for metric, score in scores.items()}
        for budget, scores in (facts.get("quality") or {}).items()
    }
    return plain(facts.get("description", "")), quality
