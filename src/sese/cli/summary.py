"""Say in words what `sese enhance` did."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sese.core.errors import plain

if TYPE_CHECKING:
    from sese.folders.job import Outcome
    from sese.runtime.file import Report


def summarize(outcomes: Sequence[Outcome], verbose: bool = False) -> None:
    """Print a line about all files; `verbose` adds the measured values."""
    reports = [outcome.report for outcome in outcomes if outcome.report]
    skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
    if len(outcomes) == 1 and skipped:
        job = skipped[0].job
        print(
            plain(
                f"{job.source} was skipped: its output {job.target} exists; --force replaces it, -o names "
                "another"
            )
        )
        return
    words = []
    if len(outcomes) > 1:
        failed = len(outcomes) - len(reports) - len(skipped)
        words.append(f"{len(reports)} done, {len(skipped)} skipped, {failed} failed")
    if reports:
        written = f"written to {outcomes[0].job.target}" if len(outcomes) == 1 else ""
        parts = (speed(reports), noise(reports), written)
        words.append(", ".join(part for part in parts if part))
        words += clipped(reports)
    if skipped:
        one = skipped[0].job.target
        words.append(f"skipped files have an output already, such as {one}; --force replaces it")
    print(plain("; ".join(words)))
    if verbose and reports:
        print("; ".join(details(reports)))


def speed(reports: Sequence[Report]) -> str:
    """Return the speed in words."""
    factor = _seconds(reports) / max(sum(report.processing_seconds for report in reports), 1e-9)
    if factor < 1:
        return f"took {1 / factor:.1f} times as long as the audio"
    return (
        f"{factor:.1f} times as fast as real time"
        if factor < 10
        else f"{factor:,.0f} times as fast as real time"
    )


def noise(reports: Sequence[Report]) -> str:
    """Return by how much the noise is lower, in words; empty where it was not measured."""
    measured = [r for r in reports if r.noise_reduction_db is not None]
    if not measured:
        return ""
    mean = sum((r.noise_reduction_db or 0.0) * r.seconds for r in measured) / _seconds(measured)
    if mean < 1:
        return "noise about as loud as before"
    return f"noise {mean:.0f} dB lower" if mean < 59.5 else "noise at least 60 dB lower"


def clipped(reports: Sequence[Report]) -> list[str]:
    """Return a warning about clipped samples, where there are any."""
    count = sum(report.clipped_samples for report in reports)
    if not count:
        return []
    samples = "1 sample was" if count == 1 else f"{count:,} samples were"
    return [f"{samples} too loud for the file and clipped (a quieter input avoids this)"]


def details(reports: Sequence[Report]) -> list[str]:
    """Return the measured values in words."""
    seconds, spent = _seconds(reports), sum(report.processing_seconds for report in reports)
    used = sum(report.utilization * report.seconds for report in reports) / seconds
    budget = reports[0].budget
    words = [
        f"{duration(seconds)} of audio in {duration(spent)} (real-time factor {spent / seconds:.3g})",
        f"share of compute {used:.3g} (budget {budget if isinstance(budget, str) else f'{budget:g}'})",
    ]
    limits = {f"{report.limited_to:g}" for report in reports if report.limited_to is not None}
    if limits:
        words.append(f"limited to level {min(limits, key=float)}")
    return words


def duration(seconds: float) -> str:
    """Return a duration in words, never as 0."""
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds >= 0.001 else "less than 1 ms"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def note(text: str) -> None:
    """Print a line that the user should know."""
    print(f"sese: note: {plain(text)}", file=sys.stderr)


def _seconds(reports: Sequence[Report]) -> float:
    return sum(report.seconds for report in reports)
