"""The model behind a pipe or a sound card: how it is opened, and what is told about it at the end.

Of `live` this is the one place that knows how a `sese.runtime.stream.Stream` is made.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sese.runtime.band_above import FOLLOW
from sese.runtime.budget import Budget
from sese.runtime.enhancer import Enhancer
from sese.runtime.limits import late_note, limits_of
from sese.runtime.rates import Latency
from sese.runtime.stream import TRACE_SECONDS, Stream

if TYPE_CHECKING:
    from sese.runtime.artefact import Card


@dataclass(frozen=True)
class Settings:
    """How to enhance; see `sese.runtime.enhancer.Enhancer`.

    A `budget` of None stands for ``"auto"``, or 1 where the model has no router.
    """

    model: str | None = None
    budget: Budget | None = 1.0
    mix: float = 1.0
    max_attenuation_db: float | None = None
    max_mmacs: float | None = None
    max_rtf: float | None = None
    trace_seconds: float | None = TRACE_SECONDS
    band_above: str = FOLLOW
    linked: bool = True
    latency: Latency = "high"

    def open(self, sample_rate: int, channels: int) -> Stream:
        """A stream at `sample_rate` in Hz.

        Raises:
            InputError: A setting, the rate or the number of channels cannot be used.
        """
        enhancer = Enhancer(self.model)
        return enhancer.stream(
            sample_rate,
            channels,
            _budget(self.budget, enhancer.card),
            max_mmacs=self.max_mmacs,
            max_rtf=self.max_rtf,
            mix=self.mix,
            max_attenuation_db=self.max_attenuation_db,
            trace_seconds=self.trace_seconds,
            band_above=self.band_above,
            linked=self.linked,
            latency=self.latency,
        )


def _budget(budget: Budget | None, card: Card) -> Budget:
    if budget is not None:
        return budget
    return "auto" if card.router else 1.0


@dataclass(frozen=True)
class Report:
    """What was done to a stream.

    Attributes:
        seconds: Length of the audio that was fed.
        real_time_factor: Time in the model and the resamplers over `seconds`; None before any audio.
        utilization: Mean share of the compute used, in (0, 1]; None before any frame.
        limited_to: Utilization of the dearest level that the limits allowed at the end; None if they allowed
            every level.
        late_frames: Frames that took longer than `max_rtf` allows; None without it.
        lowered: Times that the highest level was lowered for that; None without it.
        missed: Whether frames were late at the lowest level too; None without it.
    """

    model: str
    sample_rate: int
    channels: int
    seconds: float
    real_time_factor: float | None
    utilization: float | None
    budget: Budget
    limited_to: float | None
    max_rtf: float | None
    late_frames: int | None
    lowered: int | None
    missed: bool | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def words(self) -> list[str]:
        """The same for people, in parts."""
        words = [f"{self.seconds:.1f} s of audio"]
        if self.real_time_factor is not None:
            words.append(f"real-time factor {self.real_time_factor:.3f}")
        if self.utilization is not None:
            budget = self.budget if isinstance(self.budget, str) else f"{self.budget:g}"
            words.append(f"utilization {self.utilization:.3g} (budget {budget})")
        if self.limited_to is not None:
            words.append(f"limited to level {self.limited_to:g}")
        return words

    def note(self) -> str | None:
        """A line about late frames, where they had consequences."""
        if not self.late_frames:
            return None
        assert self.max_rtf is not None
        return late_note(self.late_frames, self.lowered or 0, bool(self.missed), self.max_rtf)


def report(stream: Stream, fed: int) -> Report:
    """What became of `fed` samples a channel."""
    return Report(
        model=stream.artefact.card.name,
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        seconds=fed / stream.sample_rate,
        real_time_factor=_known(stream.real_time_factor),
        utilization=_known(stream.utilization),
        budget=stream.budget,
        **limits_of(stream),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
