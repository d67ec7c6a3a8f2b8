"""The reference of the command line, made from the program itself when the site is built."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

PAGE = "reference/command_line.md"
HEAD = """\
# Command line

`sese COMMAND --help` shows the same in a terminal. Exit codes are 0 (done), 1 (some files failed),
2 (bad input or usage), 130 (interrupted) and 143 (terminated).
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the page."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """Return every command with its options, as Markdown."""
    commands = list(_commands())
    panels: dict[str, list[str]] = {}
    panel = ""
    for words, command, _ in commands:
        panel = command.rich_help_panel or panel  # a command below a group stands in the panel of the group
        first = _cell(command.help.split("\n\n")[0])
        panels.setdefault(panel, []).append(f"| [`{words}`](#{words.replace(' ', '-')}) | {first} |")
    parts = [HEAD]
    for panel, rows in panels.items():
        parts.append("\n".join([f"| {panel} | description |", "| --- | --- |", *rows]))
    return "\n\n".join([*parts, *(_section(*found) for found in commands)]) + "\n"


def _commands() -> Iterator[tuple[str, Any, Any]]:
    """Yield the words, the command and the context of each command, those of groups behind their group."""
    from typer.main import get_command

    from sese.cli.main import app

    program = get_command(app)
    top = program.context_class(program, info_name="sese")
    for name, command in program.commands.items():
        if not command.hidden:
            context = command.context_class(command, info_name=name, parent=top)
            yield f"sese {name}", command, context
            for below, sub in getattr(command, "commands", {}).items():
                yield f"sese {name} {below}", sub, sub.context_class(sub, info_name=below, parent=context)


def _section(words: str, command: Any, context: Any) -> str:
    """Return the description, the usage and the options of a command."""
    usage = " ".join([words, *command.collect_usage_pieces(context)])
    example = command.epilog.removeprefix("Example: ")
    parts = [
        f"## {words}",
        *map(_cell, command.help.split("\n\n")),
        f"```text\n{usage}\n```",
        f"Example: `{example}`",
    ]
    tables: dict[str, list[str]] = {}
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record and "--help" not in record[0]:
            argument = param.param_type_name == "argument"
            panel = getattr(param, "rich_help_panel", None) or ("Arguments" if argument else "Options")
            name = escape(record[0]).replace("|", "&#124;")
            tables.setdefault(panel, []).append(f"| <code>{name}</code> | {_cell(record[1])} |")
    for panel, rows in tables.items():
        parts.append("\n".join([f"| {panel} | description |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    """Return a paragraph as one line that may stand in a table."""
    parts = " ".join(text.split()).replace("|", "&#124;").split("`")
    parts[::2] = [part.replace("*", "\\*").replace("_", "\\_") for part in parts[::2]]  # not in code
    return "`".join(parts)
