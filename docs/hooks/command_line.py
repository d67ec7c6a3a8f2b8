"""The reference of the command line, made from the program itself when the site is built."""

from __future__ import annotations

from typing import Any

from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click
from typer.main import get_command

PAGE = "reference/command_line.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """Every verb with its options, as Markdown."""
    import click

    from sese.cli.main import app

    command = get_command(app)
    context = click.Context(command, info_name="sese")
    return get_docs_for_click(obj=command, ctx=context, name="sese", title="Command line")
