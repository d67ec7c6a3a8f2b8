"""How the pages read: tables say what their columns are, comments in blocks of code are not cut off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, name

SHOWN = [
    *PAGES,
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    ROOT / "src" / "sese" / "configs" / "README.md",
]
LONGEST = 84
"""Number of characters of a line of code that fit beside the two navigations, in a window of 1280 pixels."""


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_tables_have_whole_heads(page: Path) -> None:
    for head in re.findall(r"^(\|.*\|)\n\|(?: *:?-+:? *\|)+$", page.read_text(), re.MULTILINE):
        assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", head)[1:-1]), head


def test_comments_are_not_cut_off() -> None:
    """Code is in a box as wide as the text; what is longer has to be scrolled to."""
    for page in PAGES:
        for block in blocks(page):
            if block.language in {"sh", "python", "cpp", "js"} and not block.title:
                long = [line for line in block.text.splitlines() if len(line) > LONGEST]
                assert [line for line in long if re.search(r" (#|//) |^ *(#|//) ", line)] == [], name(page)


def test_nothing_is_installed_from_an_index_without_saying_so() -> None:
    """The package is not published: `pip install sese` would install something else, or nothing."""
    for page in [*SHOWN, ROOT / "CONTRIBUTING.md", *(ROOT / "src").rglob("*.py")]:
        if page.name != "install.py":
            assert not re.search(r"pip install ['\"]?sese\b", page.read_text()), page
