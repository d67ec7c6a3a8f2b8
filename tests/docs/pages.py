"""The pages that strangers read, and what is to be typed in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (sese .*)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its fence says of language and title, and what is in it."""

    page: Path
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page."""
    return [Block(page, *found) for found in FENCED.findall(page.read_text())]


def commands(page: Path) -> list[list[str]]:
    """What a page says to run of `sese`, in order: words of a line, without what is piped into it or on."""
    lines = [
        line
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    lines += INDENTED.findall(page.read_text().replace("\\\n", " "))
    found = []
    for line in lines:
        for part in re.split(r"&&|\|", line):
            words = shlex.split(part, comments=True)
            while words and "=" in words[0]:  # variables of the environment
                words = words[1:]
            if words and words[0] == "sese":
                found.append(words[: words.index(">")] if ">" in words else words)
    return found


def name(page: Path) -> str:
    """For a test's title."""
    return str(page.relative_to(ROOT))
