"""The demo page's reading of a budget, run by Node.js, against Python's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sese.demo.server import PAGE, documents
from sese.runtime.artefact import bundled_models, open_artefact
from sese.runtime.budget import Fixed, Routed, parse_budget

PROGRAM = """
import { readFileSync } from "node:fs";
const { toInputs } = await import("./budget.mjs");
const cases = JSON.parse(readFileSync("cases.json", "utf8"));
console.log(JSON.stringify(cases.map(([facts, choice]) => toInputs(facts, choice))));
"""


def test_a_number_on_the_page_is_what_it_is_in_python(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    artefacts = [open_artefact(name) for name in bundled_models()]
    table = documents(artefacts, {})["/models.json"].content
    assert isinstance(table, bytes)
    cases: list[Any] = []
    expected = []
    for artefact, facts in zip(artefacts, json.loads(table), strict=True):
        card = artefact.card
        if card.gates:  # the page offers no number there
            continue
        shares = [level.utilization for level in card.levels]
        for number in [*np.linspace(shares[0], 1, 41), *shares]:
            cases.append((facts, {"mode": "share", "value": float(number)}))
            rule = parse_budget(card, float(number))
            assert isinstance(rule, Fixed | Routed)
            expected.append((-1, rule.utilization) if isinstance(rule, Routed) else (rule.level, 0))
    (tmp_path / "budget.mjs").write_text((PAGE / "budget.js").read_text())
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (tmp_path / "main.mjs").write_text(PROGRAM)
    ran = subprocess.run(["node", "main.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [(made["level"], made["budget"]) for made in json.loads(ran.stdout)] == expected
    assert {level for level, _ in expected} == {-1, 0, 1, 2, 3}
