"""Files below a folder: linked folders are searched once, and loops end."""

from __future__ import annotations

import os
from pathlib import Path

from sese.core.walk import files_below


def found(folder: Path, **options: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_below(folder, print, **options)]


def test_links_and_loops(tmp_path: Path) -> None:
    for name in (
        "in/b/x.wav",
        "in/c.wav",
        "elsewhere/y.wav",
        "elsewhere/deep/z.wav",
        "in/.hidden/h.wav",
        "other.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    links = {
        "in/a": "in/b",
        "in/b/up": "in",
        "in/all": ".",
        "in/linked": "elsewhere",
        "elsewhere/back": "in/b",
    }
    for link, target in links.items():
        os.symlink(tmp_path / target, tmp_path / link)
    os.symlink("nowhere", tmp_path / "in" / "broken")
    names = ["broken", "c.wav", "b/x.wav", "linked/y.wav", "linked/deep/z.wav"]
    assert found(tmp_path / "in") == names
    assert found(tmp_path / "in", without=tmp_path / "elsewhere") == names[:3]
