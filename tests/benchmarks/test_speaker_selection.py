"""The tables of speaker-informed selection: what different files hold is paired by file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


def selection(folder: Path, rows: list[dict[str, Any]], names: dict[str, float | None]) -> Path:
    result = {
        "rows": rows,
        "summary": {name: {"as_oracle": share} for name, share in names.items()},
        "costs": {"gate": {"mmacs_per_second": 8.5}},
    }
    folder.mkdir()
    (folder / "selection.json").write_text(json.dumps(result))
    return folder / "selection.json"


def test_differences_are_paired_over_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(**scores: list[float]) -> list[dict[str, Any]]:
        places = (("u0", "a"), ("u0", "b"), ("u1", "a"))
        return [
            {"folder": folder, "file": file, "scores": {name: own[at] for name, own in scores.items()}}
            for at, (folder, file) in enumerate(places)
        ]

    one = selection(
        tmp_path / "two", rows(gate=[3.0, 5.0, 8.0], plain=[2.0, 4.0, 6.0]), {"gate": None, "plain": None}
    )
    other = selection(tmp_path / "five", rows(oracle=[4.0, 6.0, 9.0]), {"oracle": 1.0})
    monkeypatch.setattr(sys, "argv", ["x", str(one), str(other), "--reference", "plain"])
    monkeypatch.syspath_prepend(BENCHMARKS)
    __import__("speaker_selection").main()
    lines = {
        line.split(" | ")[0].strip("| "): line.split(" | ")[1:]
        for line in capsys.readouterr().out.splitlines()
    }
    # Means of the users, not of the files: (4 + 8) / 2, over (3 + 6) / 2.
    assert lines["two: gate"][0] == "8.5"
    assert lines["two: gate"][1].startswith("6.00 (4.00 to 8.00)")
    assert lines["two: gate"][2].startswith("+1.50 (+1.00 to +2.00)")
    assert lines["five: oracle"][2].startswith("+2.50 (+2.00 to +3.00)")
    assert lines["five: oracle"][3].startswith("100%")
    assert lines["plain"][2].startswith("+0.00")
