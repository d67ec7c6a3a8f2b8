"""Show how far a training is: a bar on a terminal, a line now and then where output goes to a file."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text
from torch import Tensor

from sese.core.errors import plain

WINDOW_S = 20.0
"""Seconds of training over which the speed is measured."""

LOSSES = 50
"""Number of steps over which the loss is averaged."""

REFRESH_S = 0.25
SPARSE_S = (10.0, 300.0)
"""Shortest and longest time in seconds between two lines that replace the bar."""


class Progress:
    """Progress of a training: step, loss, seconds of audio per second, and the time that is left.

    Args:
        steps: Number of steps in the whole training.
        done: Number of steps done before.
        unit: What a step is called.
        validate_steps: Number of steps between two validations, whose time counts in the time left; 0: none.
        deadline: Time at which the training stops, as `time.monotonic` counts; None for no limit.
        quiet: Whether to show nothing, in a process that another one speaks for.
        console: Where to show it; None for standard output.

    Example:
        >>> with Progress(2, console=Console(width=80)) as progress:
        ...     progress.note("starts")
        starts
    """

    def __init__(
        self,
        steps: int,
        done: int = 0,
        *,
        unit: str = "step",
        validate_steps: int = 0,
        deadline: float | None = None,
        quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self.steps, self.done, self.unit = steps, done, unit
        self.validate_steps, self.deadline, self.quiet = validate_steps, deadline, quiet
        self.console = console or plain_console()
        self.began = self.shown = time.monotonic()
        self.validation_s = 0.0
        self._first, self._paused_s = done, 0.0
        self._losses: deque[Tensor] = deque(maxlen=LOSSES)
        self._marks: deque[tuple[float, int, float]] = deque()  # time in training, step, seconds of audio
        self._audio_s = 0.0
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        self.began = self.shown = time.monotonic()
        self._marks.append((0.0, self.done, 0.0))
        if not self.quiet and self.console.is_terminal and not self.console.is_dumb_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[facts]}"),
                console=self.console,
                expand=True,
                transient=True,
            )
            self._task = self._bar.add_task(self._count(), total=1.0, facts="first step")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def note(self, text: str) -> None:
        """Print lines, above the bar where there is one."""
        if not self.quiet:
            self.console.print(plain(text), markup=False, highlight=False)

    def step(self, loss: Tensor | float | None = None, audio_s: float = 0.0) -> None:
        """Count a step.

        Args:
            loss: Loss of the step, a scalar without gradient; it is read only when it is shown.
            audio_s: Seconds of audio that all processes trained on in the step.
        """
        self.done += 1
        self._audio_s += audio_s
        if loss is not None:
            self._losses.append(torch.as_tensor(loss))
        now = time.monotonic()
        trained = now - self.began - self._paused_s
        self._marks.append((trained, self.done, self._audio_s))
        while len(self._marks) > 2 and trained - self._marks[1][0] > WINDOW_S:
            self._marks.popleft()
        gap = REFRESH_S if self._bar else _sparse(now - self.began)
        if now - self.shown >= gap or (self._bar is None and self.done == self._first + 1):
            self._show(now)

    @contextmanager
    def pause(self, doing: str) -> Iterator[None]:
        """A context in which no steps are taken: its time does not count in the speed.

        Args:
            doing: What is done instead, shown beside the bar.
        """
        begun = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, description=self._count(), facts=doing)
        try:
            yield
        finally:
            self._paused_s += time.monotonic() - begun
            if self._bar is not None:
                self._show(time.monotonic())

    @property
    def loss(self) -> float:
        """Mean loss of the last steps; NaN before the first."""
        return float(torch.stack(list(self._losses)).float().nanmean()) if self._losses else math.nan

    @property
    def speed(self) -> tuple[float, float]:
        """Steps, and seconds of audio, per second of training over the last seconds; 0 before the first."""
        (begin, first, before), (end, last, after) = self._marks[0], self._marks[-1]
        spent = max(end - begin, 1e-9)
        return (last - first) / spent, (after - before) / spent

    def left_s(self, now: float) -> float | None:
        """Return the seconds until the training ends, validations included; None while it is not known."""
        steps, _ = self.speed
        if not steps:
            return None
        left = (self.steps - self.done) / steps
        if self.validate_steps:
            left += ((self.steps - self.done) // self.validate_steps) * self.validation_s
        return left if self.deadline is None else max(0.0, min(left, self.deadline - now))

    def _show(self, now: float) -> None:
        self.shown = now
        if self.quiet:
            return
        facts = self._facts(now)
        if self._bar is None:
            self.console.print(f"{self._count()}  {facts}")
        else:
            self._bar.update(self._task, description=self._count(), facts=facts, completed=self._share(now))

    def _count(self) -> str:
        return f"{self.unit} {self.done:,} of {self.steps:,}"

    def _facts(self, now: float) -> str:
        _, audio_s = self.speed
        left = self.left_s(now)
        parts = [
            f"loss {self.loss:.4g}" if self._losses else "",
            f"{audio_s:.3g} audio-s/s" if audio_s else "",
            f"{duration(left)} left" if left is not None else "",
        ]
        return "  ".join(part for part in parts if part)

    def _share(self, now: float) -> float:
        """Return the share of the training that is done, or of its time where that ends first."""
        share = self.done / self.steps
        if self.deadline is not None and self.deadline > self.began:
            share = max(share, (now - self.began) / (self.deadline - self.began))
        return min(1.0, share)


@contextmanager
def reading(what: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show that recordings are read, and how many of them are decoded already where that takes long.

    Args:
        what: Names of the folders.
        quiet: Whether to show nothing.

    Yields:
        Function of the number of recordings that are decoded, and of all.
    """
    console = plain_console()
    words = f"reading {plain(what)}"
    if quiet or not console.is_terminal or console.is_dumb_terminal:
        told = time.monotonic()
        if not quiet:
            console.print(words)

        def tell(done: int, of: int) -> None:
            nonlocal told
            if not quiet and time.monotonic() - told > SPARSE_S[0]:
                told = time.monotonic()
                console.print(f"{words}: {done:,} of {of:,} recordings decoded")

        yield tell
        return
    with console.status(Text(words)) as status:
        yield lambda done, of: status.update(Text(f"{words}: {done:,} of {of:,} recordings decoded"))


def plain_console() -> Console:
    """Return a console on standard output that prints text as it is: no markup, no colours, no wrapping."""
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a duration in words, in its two largest units.

    Example:
        >>> duration(42), duration(185), duration(7500), duration(200_000)
        ('42 s', '3 min 5 s', '2 h 5 min', '2 d 7 h')
    """
    whole = round(seconds)
    for (large, size), (small, part) in (
        (("d", 86400), ("h", 3600)),
        (("h", 3600), ("min", 60)),
        (("min", 60), ("s", 1)),
    ):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole} s"


def _sparse(elapsed_s: float) -> float:
    """Return the time between two lines, which grows with the time that the training takes."""
    least, most = SPARSE_S
    return min(most, max(least, elapsed_s / 10))
