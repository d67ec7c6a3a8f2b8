"""The site is built without a warning: links lead somewhere, names of the reference exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, name

pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("built") / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


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
    reference = (site / "reference" / "command_line" / "index.html").read_text()
    assert "--max-attenuation-db" in reference


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
    assert 'src="figures/before_after_dark.svg#only-dark"' in (site / "index.html").read_text()
    kept = [path for path in (ROOT / "docs").rglob("*") if path.suffix in {".png", ".webp", ".svg"}]
    shown = [path for path in (site / "figures").glob("*.svg") if not path.stem.endswith("_dark")]
    assert sum(path.stat().st_size for path in (*kept, *shown)) < 1e6


PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def test_the_tree_of_methods_is_whole():
    """The picture names each value of `training.method`."""
    from sese.training.methods import METHODS

    sys.path.insert(0, str(ROOT / "docs" / "hooks"))
    try:
        from pictures import METHODS as DRAWN
    finally:
        sys.path.pop(0)
    drawn = {name for values, _ in DRAWN.values() for name in values.split(", ")}
    assert drawn == set(METHODS)


def test_every_page_is_in_the_navigation():
    import yaml

    text = (ROOT / "mkdocs.yml").read_text()
    listed = str(yaml.safe_load(text)["nav"])
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in listed] == []
