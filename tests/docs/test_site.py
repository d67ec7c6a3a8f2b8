"""The site is built without a warning: links lead somewhere, names of the reference exist."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, ROOT, name
from typer.main import get_command

import sese
from sese.cli.main import app
from sese.demo.server import PAGE


def test_it_builds(site: Path):
    pages = {path.parent.name for path in site.rglob("index.html")}
    assert {
        "start",
        "budgets",
        "command_line",
        "python",
        "add_a_system",
        "spectral_mixer",
        "gated_mixer",
    } <= pages


def test_the_command_line_is_whole(site: Path):
    """Every command that is not hidden, with all of its first paragraph and all of its options."""
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "command_line" / "index.html").read_text())
    text = " ".join(unescape(text).split())
    words: list[str] = []

    def look(command: Any, called: str) -> None:
        words.append(called)
        assert " ".join(command.help.split("\n\n")[0].replace("`", "").split()) in text, called
        for option in (option for parameter in command.params for option in parameter.opts):
            assert option in text, (called, option)
        for below, sub in getattr(command, "commands", {}).items():
            if not sub.hidden:
                look(sub, f"{called} {below}")

    for word, command in get_command(app).commands.items():
        if not command.hidden:
            look(command, f"sese {word}")
    assert len(words) > 30
    assert all(f'id="{word.replace(" ", "-")}"' in (site / PLACE).read_text() for word in words)


PLACE = "reference/command_line/index.html"


def test_identity(site: Path):
    """Version, icon, and a link to the source of each page."""
    start = (site / "start" / "index.html").read_text()
    assert f"sese {sese.__version__}. Code and weights" in start
    assert 'rel="icon" href="../icon.svg"' in start
    assert (site / "icon.svg").read_bytes() == (PAGE / "icon.svg").read_bytes()
    repository = "https://forge.example/group/sese"
    assert f'href="{repository}"' in start
    assert f'href="{repository}/edit/main/docs/start.md"' in start
    changes = (site / "develop" / "changelog" / "index.html").read_text()
    assert f'href="{repository}/edit/main/CHANGELOG.md"' in changes
    assert "/edit/" not in (site / PLACE).read_text()  # a page without a source


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://forge.example/group/sese.git", "https://forge.example/group/sese"),
        ("https://me:secret@forge.example/group/sese", "https://forge.example/group/sese"),
        ("git@forge.example:group/sese.git", "https://forge.example/group/sese"),
        ("ssh://git@forge.example:2222/group/sese.git", "https://forge.example/group/sese"),
        ("/srv/git/sese.git", None),
        ("file:///srv/git/sese.git", None),
        ("../sese", None),
        ("", None),
    ],
)
def test_the_address_of_a_clone(remote: str, address: str | None, hooks: None):
    from identity import web_address

    assert web_address(remote) == address


def test_one_colour(hooks: None):
    """Site, demo page, icon, pictures and badges have the same."""
    from listening import COLOURS
    from pictures import TEAL

    assert f"--md-primary-fg-color: {TEAL};" in (ROOT / "docs" / "style.css").read_text()
    assert f"--accent: {TEAL};" in (PAGE / "style.css").read_text()
    assert f'fill="{TEAL}"' in (PAGE / "icon.svg").read_text()
    assert all(TEAL in colours for colours in COLOURS.values())
    badges = re.findall(r"img\.shields\.io/\S+-(\w{6})\)", (ROOT / "README.md").read_text())
    assert badges
    assert {f"#{badge}" for badge in badges} == {TEAL}


def test_what_pages_call_is_in_the_reference(site: Path):
    entries = "".join(path.read_text() for path in (site / "reference").rglob("index.html"))
    called = {found for page in PAGES for found in CALLED.findall(page.read_text())}
    assert "sese.compression.packed.read" in called
    assert {function for function in called if f'id="{function}"' not in entries} == set()


CALLED = re.compile(r"`(sese(?:\.\w+)+)\(")


def test_pictures(site: Path):
    """Each says in words what it shows; those of the hook are there in both themes; all are small."""
    for page in PAGES:
        for words, place in PICTURE.findall(page.read_text()):
            assert len(words) >= 30, f"{name(page)}: {place} needs words for those who do not see it"
            if place.endswith(".svg"):
                for theme in ("", "_dark"):
                    assert (site / "figures" / f"{Path(place).stem}{theme}.svg").is_file(), place
    assert 'src="../../figures/dial_dark.svg#only-dark"' in (site / "guides/budgets/index.html").read_text()
    kept = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".png", ".webp", ".svg"}]
    shown = [path for path in (site / "figures").glob("*.svg") if not path.stem.endswith("_dark")]
    assert sum(path.stat().st_size for path in (*kept, *shown)) < 1e6


PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def test_the_tree_of_methods_is_whole(hooks: None):
    """The picture names each value of `training.method`."""
    from pictures import METHODS as DRAWN

    from sese.training.methods import METHODS

    drawn = {name for values, _ in DRAWN.values() for name in values.split(", ")}
    assert drawn == set(METHODS)


def test_every_page_is_in_the_navigation():
    import yaml

    text = (ROOT / "mkdocs.yml").read_text()
    listed = str(yaml.safe_load(text)["nav"])
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in listed] == []
