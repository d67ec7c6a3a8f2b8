"""Build the command line: verbs in panels, each with an example, and flags without a type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class _Flags:
    """Show flags without a type, as a flag takes no value."""

    def get_params(self, context: Any) -> list[Any]:
        params: list[Any] = super().get_params(context)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(_Flags, TyperCommand):
    """A verb."""


class Group(_Flags, TyperGroup):
    """A group of verbs."""


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
