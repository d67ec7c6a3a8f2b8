"""Tables and progress of long measurements on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sese.core.errors import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

ANY_WIDTH = 10_000
"""Width in letters of a terminal that every table fits."""

WIDEST_HEADING = 9
"""Number of letters of a line of a heading."""


def terminal() -> Console | None:
    """Return a console on standard output, or None where that is no terminal."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else None


def show_table(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], fixed: int = 1
) -> None:
    """Print a table, in several parts where it is wider than the terminal.

    Args:
        console: Terminal.
        header: Headings.
        rows: Cells of each row, as many as headings.
        fixed: Number of first columns that each part repeats.
    """
    from rich.measure import Measurement

    unlimited = console.options.update(max_width=ANY_WIDTH)
    first, rest = list(range(fixed)), list(range(fixed, len(header)))
    while rest:
        taken = rest[:1]
        for column in rest[1:]:
            made = _table(header, rows, [*first, *taken, column])
            if Measurement.get(console, unlimited, made).maximum > console.width:
                break
            taken.append(column)
        console.print(_table(header, rows, [*first, *taken]))
        rest = rest[len(taken) :]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> Table:
    import textwrap

    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        heading = "\n".join(textwrap.wrap(plain(header[column]), WIDEST_HEADING))
        table.add_column(heading, justify="right" if column else "left", no_wrap=True, vertical="bottom")
    for row in rows:
        table.add_row(*(plain(row[column]) for column in columns))
    return table


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on standard error, where that is a terminal.

    Args:
        what: What is counted, in the plural.

    Yields:
        Function of the number that is done, and of all; None where nothing is shown.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
