"""The site is built without a warning: links lead somewhere, names of the reference exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

pytest.importorskip("mkdocs")


def test_it_builds(tmp_path: Path):
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.parent.name for path in (tmp_path / "site").rglob("index.html")}
    assert {"start", "budgets", "command_line", "python", "add_a_system", "spectral_mixer"} <= pages
    reference = (tmp_path / "site" / "reference" / "command_line" / "index.html").read_text()
    assert "--max-attenuation-db" in reference


def test_every_page_is_in_the_navigation():
    import yaml

    text = (ROOT / "mkdocs.yml").read_text()
    listed = str(yaml.safe_load(text)["nav"])
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in listed] == []
