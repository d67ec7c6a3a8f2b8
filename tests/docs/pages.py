"""The pages that strangers read, and what is to be typed in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(
    r'^(?:<!-- (slow|not run: [^>\n]+) -->\n\n)?```(\w*)(?: title="([^"]+)")?\n(.*?)^```',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its fence says of language and title, what is in it, and the remark above it.

    The remark is a comment in the page's source: `slow`, or `not run:` and the reason; empty for most.
    """

    page: Path
    remark: str
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page."""
    return [Block(page, *found) for found in FENCED.findall(page.read_text())]


def lines(block: Block) -> list[str]:
    """Return the command lines of a block of shell commands."""
    joined = block.text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.strip().startswith("#")]


def commands(page: Path, remarks: Collection[str] | None = None) -> list[list[str]]:
    """Return the `sese` commands of a page in order: the words of each, without the rest of its pipe.

    remarks: those of the blocks to take; None for all blocks.
    """
    found = []
    for block in blocks(page):
        if block.language != "sh" or (remarks is not None and block.remark not in remarks):
            continue
        for line in lines(block):
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
