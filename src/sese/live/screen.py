"""Show the state on a terminal while audio flows: level meters, share of compute, speed, dropouts."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from sese.live.engine import Counts, Meters

FLOOR_DB, WARN_DB, CLIP_DB = -60.0, -6.0, -0.1
BAR = 30


def screen(meters: Meters, counts: Counts, bypass: bool) -> Table:
    """Return the present screen."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row("in ", _bar(meters.peak_in))
    grid.add_row("out", _bar(meters.peak_out))
    used = "bypass" if bypass else f"level {_number(meters.level, '.3g')}"
    state = Text(
        f"{used}   real-time factor {_number(meters.real_time_factor, '.2f')}   dropouts {counts.total}"
    )
    grid.add_row("", state)
    grid.add_row("", Text("b bypass   q quit", style="dim"))
    return grid


def decibels(peak: float) -> float:
    """Return a peak in dB of full scale, not below the meters' floor."""
    return max(FLOOR_DB, 20 * math.log10(max(peak, 1e-9)))


def _bar(peak: float) -> Text:
    level = decibels(peak)
    filled = round(BAR * (level - FLOOR_DB) / -FLOOR_DB)
    filled = min(BAR, filled)
    style = "green" if level < WARN_DB else "yellow" if level < CLIP_DB else "red"
    return Text.assemble(("#" * filled, style), ("." * (BAR - filled), "dim"), f" {level:6.1f} dBFS")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
