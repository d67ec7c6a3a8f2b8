"""ARCHITECTURE.md names rooms, files and functions that exist."""

from __future__ import annotations

import re

from pages import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text()
SOURCE = ROOT / "src" / "sese"


def test_paths_exist():
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", TEXT))
    assert len(named) > 40
    assert {path for path in named if not ((SOURCE / path).exists() or (ROOT / path).exists())} == set()


def test_every_room_is_named():
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")} | {"configs"}
    assert {room for room in rooms if f"| `{room}/` |" not in TEXT} == set()


def test_the_trips_lead_through_the_code():
    hops = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `([\w.]+)` \|", TEXT, re.MULTILINE)
    assert len(hops) == 30
    for path, name in hops:
        source = (SOURCE / path).read_text()
        for part in name.split("."):
            assert re.search(rf"^ *(?:def|class) {part}\b|^{part}\b.* = ", source, re.MULTILINE), (path, name)
