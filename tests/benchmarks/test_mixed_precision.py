from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_tables_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    mixed_precision = importlib.import_module("mixed_precision")

    def row(name: str, size: int, error: float, **bits: int) -> dict[str, Any]:
        return {"name": name, "bytes": size, "error": error, "bits": {f"gru.{k}": v for k, v in bits.items()}}

    networks = [
        row("float", 4000, 0.49),
        row("8-bit", 1000, 0.5),
        row("6-bit", 800, 0.52),
        row("4-bit", 500, 0.7),
        row("w3s8", 650, 0.503),
        row("near", 600, 0.504, W_ir=4, W_hz=8, state=6),
        row("near-tuned", 600, 0.49, W_ir=4, W_hz=8, state=6),
    ]
    best = [{"bytes": 450, "error": 0.59}, {"bytes": 600, "error": 0.504}, {"bytes": 1000, "error": 0.5}]
    result = {"model": "a model", "networks": networks, "front": best, "search_front": best}
    (tmp_path / "compress.json").write_text(json.dumps(result))
    table = mixed_precision.sizes([(tmp_path, result)]).splitlines()
    name = tmp_path.name
    assert table[2:] == [
        f"| {name} | 1% | 1,000 (8-bit) | 650 (w3s8) | 600 | -40% | -40% | -8% |",
        f"| {name} | 5% | 800 (6-bit) | 650 (w3s8) | 600 | -40% | -25% | -8% |",
        f"| {name} | 20% | 800 (6-bit) | 650 (w3s8) | 450 | -55% | -44% | -31% |",
    ]
    networks[1]["test"] = {"accuracy": {"mean": 0.9}}
    networks[4]["test"] = {"accuracy": {"mean": 0.85}}
    networks[4]["against_8_bit"] = {"accuracy": {"mean": -0.05, "low": -0.08, "high": 0.01}}
    for each in networks[1], networks[4]:
        each["of_8_bit"] = each["bytes"] / 1000
    assert mixed_precision.scores([(tmp_path, result)]).splitlines() == [
        "| task | network | bytes | of 8 bits | accuracy |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| {name} | `8-bit` | 1,000 | 1.00 | 0.900 |",
        f"| {name} | `w3s8` | 650 | 0.65 | -0.050 (-0.080 to +0.010) |",
    ]
    (genome,) = mixed_precision.genomes([(tmp_path, result)]).splitlines()[2:]
    assert genome.startswith(f"| {name}, `near` | 4.0 | 8.0 |  |")
    assert mixed_precision.figure([(tmp_path, result)]).startswith(b"\x89PNG")
