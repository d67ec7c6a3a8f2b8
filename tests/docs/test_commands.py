"""Check that every command and option on every page exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, commands, name
from typer.main import get_command

from sese.cli.main import app

ALL = [
    pytest.param(words, id=f"{name(page)}: {' '.join(words)}") for page in PAGES for words in commands(page)
]
NAMED = re.compile(r"`((?:src|docs|examples|benchmarks|tests)/[\w./-]+\w)`")


def test_there_are_commands():
    assert len(ALL) > 100


@pytest.mark.parametrize("words", ALL)
def test_it_exists(words: list[str]):
    command = get_command(app)
    rest = words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    group = hasattr(command, "commands") and not command.invoke_without_command
    assert not group or rest[0] in known, words  # options of `sese` itself do without a verb
    options = {word.partition("=")[0] for word in rest if word.startswith("-") and not word[1:2].isdigit()}
    assert options <= known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_pages_name_are_there(page: Path):
    named = set(NAMED.findall(page.read_text()))
    made = {"examples/playground_enhanced.wav"}
    assert {path for path in named - made if not (ROOT / path).exists()} == set()
