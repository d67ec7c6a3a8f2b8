"""Report on the model behind a pipe or a sound card, and choose its usual budget."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sese.runtime.budget import Budget
from sese.runtime.limits import late_note, limits_of
from sese.runtime.stream import Stream

if TYPE_CHECKING:
    from sese.runtime.card import Card


def usual_budget(card: Card) -> Budget:
    """Return the budget of a live stream where none is chosen.

    ``"auto"`` where the model can rest, or where a gate chooses among experts of equal cost; else 1, as a
    router over levels saves no time (docs/guides/budgets.md).
    """
    return "auto" if card.rests or (card.router and card.alternatives) else 1.0


@dataclass(frozen=True)
class Report:
    """Report on an enhanced stream.

    Attributes:
        model: Name of the model.
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        seconds: Length of the audio that was fed, in seconds.
        real_time_factor: Time in the model and the resamplers divided by `seconds`; None before any audio.
        utilization: Mean share of compute used, in (0, 1]; None before any frame.
        budget: Budget, as it was given.
        limited_to: Share of compute of the highest level that the limits allowed at the end; None if they
            allowed every level.
        max_rtf: Limit of a frame's time, as it was given; None for no limit.
        late_frames: Number of frames that took longer than `max_rtf` allows; None without it.
        lowered: Number of times that the highest level was lowered because of late frames; None without it.
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
        """Return plain values, ready for JSON."""
        return asdict(self)

    def words(self) -> list[str]:
        """Return the parts of a line for people."""
        words = [f"{self.seconds:.1f} s of audio"]
        if self.real_time_factor is not None:
            words.append(f"real-time factor {self.real_time_factor:.3f}")
        if self.utilization is not None:
            budget = self.budget if isinstance(self.budget, str) else f"{self.budget:g}"
            words.append(f"share of compute {self.utilization:.3g} (budget {budget})")
        if self.limited_to is not None:
            words.append(f"limited to level {self.limited_to:g}")
        return words

    def note(self) -> str | None:
        """Return a line about late frames, where they had consequences; else None."""
        if not self.late_frames:
            return None
        assert self.max_rtf is not None
        return late_note(self.late_frames, self.lowered or 0, bool(self.missed), self.max_rtf)


def report(stream: Stream, fed: int) -> Report:
    """Return the report on a stream that was fed `fed` samples per channel."""
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
