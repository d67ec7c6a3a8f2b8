"""Tables in Markdown, and numbers as they are shown in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

NOTHING = "–"  # in place of a number that is not there


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, its first column to the left and the others to the right.

    Args:
        header: headings of the columns.
        rows: cells of each row, as many as headings.

    Returns:
        The lines, without line ends.

    Example:
        >>> print("\\n".join(table(["level", "PESQ"], [["0.5", "2.61"]])))
        | level | PESQ |
        | --- | ---: |
        | 0.5 | 2.61 |
    """
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return [row(cells) for cells in (header, ruler, *rows)]


def row(cells: Sequence[str]) -> str:
    """Return the line of one row of a Markdown table, for tables whose rows come one by one.

    Args:
        cells: cells from left to right.

    Example:
        >>> row(["0.5", "2.61"])
        '| 0.5 | 2.61 |'
    """
    return "| " + " | ".join(cells) + " |"


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table as plain text, its first column to the left and the others to the right.

    Args:
        header: headings of the columns.
        rows: cells of each row, as many as headings.

    Example:
        >>> print("\\n".join(aligned(["level", "PESQ"], [["0.5", "2.61"], ["1", "2.8"]])))
        level  PESQ
        0.5    2.61
        1       2.8
    """
    every = [header, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(header))]
    lines = []
    for first, *others in every:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def shown(value: float | None, decimals: int, sign: bool = False) -> str:
    """Return a number with so many decimals, or a dash where there is none or it is not finite.

    Args:
        value: the number, or None.
        decimals: number of decimals.
        sign: whether numbers above 0 get a plus.

    Example:
        >>> shown(2.345, 1), shown(2.345, 1, sign=True), shown(None, 1)
        ('2.3', '+2.3', '–')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:{'+' if sign else ''}.{decimals}f}"


def with_interval(value: Mapping[str, float], decimals: int, sign: bool = False, of: str = "mean") -> str:
    """Return a number with its interval in brackets.

    Args:
        value: the number by the key `of`, and the ends of its interval by `low` and `high`.
        decimals: number of decimals.
        sign: whether numbers above 0 get a plus.
        of: key of the number.

    Example:
        >>> with_interval({"mean": 0.52, "low": -0.1, "high": 1.0}, 1, sign=True)
        '+0.5 (-0.1 to +1.0)'
    """
    number, low, high = (shown(value[key], decimals, sign) for key in (of, "low", "high"))
    return number if number == NOTHING else f"{number} ({low} to {high})"
