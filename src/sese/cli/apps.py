"""Build the command line: verbs in panels, each with an example, flags without a type, errors of one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from sese.core.errors import InputError

UsageError: Any = typer.BadParameter.__bases__[0]  # of click, or of the copy of it in typer


@contextmanager
def _one_line(path: str, words: Sequence[str] = ()) -> Iterator[None]:
    """Turn an error of usage into an `InputError`; without any words the help is shown as before."""
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        said = error.format_message().rstrip(".")
        files = [word for word in words if word.startswith("-") and os.path.exists(word)]
        hint = f"write the file {files[0]} as ./{files[0]}" if files else f"see {path} -h"
        raise InputError(f"{said[:1].lower()}{said[1:]}{' ' if said.endswith('?') else '; '}{hint}") from None


class _Verbs:
    """Show flags without a type, as a flag takes no value, and tell errors of usage in one line."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        path = info_name if parent is None else f"{parent.command_path} {info_name}"
        with _one_line(str(path), tuple(args)):
            return super().make_context(info_name, args, parent, **extra)  # type: ignore[misc]

    def get_params(self, context: Any) -> list[Any]:
        params: list[Any] = super().get_params(context)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(_Verbs, TyperCommand):
    """A verb."""


class Group(_Verbs, TyperGroup):
    """A group of verbs."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that the first word names."""
        with _one_line(ctx.command_path):
            return super().resolve_command(ctx, args)


class App(typer.Typer):
    """A group of verbs, each with an example.

    Args:
        help: First line of the help.
        arguments: Arguments of `typer.Typer`.
    """

    def __init__(self, help: str, **arguments: Any) -> None:
        super().__init__(cls=Group, help=help, **arguments)

    def verb(
        self, name: str, example: str, panel: str | None = None, hidden: bool = False
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Return a decorator that adds a function as a verb.

        Args:
            name: Name of the verb.
            example: Command to show below the help.
            panel: Heading of the list that shows the verb; None for the usual one.
            hidden: Whether to leave it out of that list.
        """
        return self.command(
            name, cls=Command, epilog=f"Example: {example}", rich_help_panel=panel, hidden=hidden
        )
